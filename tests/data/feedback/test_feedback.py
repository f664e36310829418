"""Feedback: each person once for each answer, encrypted, and the rows of datasets that it becomes."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.schemas.feedback import ExportKind, FeedbackContent, RejectedAnswer
from llmos.data.datasets.datasets import Datasets
from llmos.data.feedback.feedback import Feedback, FeedbackFilter, NewFeedback
from llmos.data.feedback.rows import make_dataset
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.data.retention import Retention, Retentions
from support.apps import MovedClock

ASKED = [{"role": "user", "content": "Name a color."}]


def rated(answer: str, rating: Any = "", user: str = "", **content: Any) -> NewFeedback:
    return NewFeedback(answer=answer, rating=rating, content=FeedbackContent(**content), user=user)


def vote(answer: str, text: str, *others: str, **content: Any) -> NewFeedback:
    rejected = [RejectedAnswer(answer=f"other-{number}", text=each) for number, each in enumerate(others)]
    return NewFeedback(
        answer=answer,
        kind="vote",
        content=FeedbackContent(messages=ASKED, text=text, rejected=rejected, **content),
    )


def test_the_last_word_of_each_person_holds(feedback: Feedback) -> None:
    feedback.give("acme", "user:ann", rated("a-1", "up"))
    last = feedback.give("acme", "user:ann", rated("a-1", "down", correction="Red."))
    other = feedback.give("acme", "user:bob", rated("a-1", "up"))
    feedback.give("rival", "user:ann", rated("a-1", "up"))
    assert feedback.list("acme").data == [other, last]
    assert feedback.list("acme", FeedbackFilter(rating="down")).data == [last]
    assert feedback.list("acme", FeedbackFilter(answer="a-2")).data == []
    assert (last.rating, last.content.correction, last.actor) == ("down", "Red.", "user:ann")


def test_a_person_takes_back_only_what_is_theirs(feedback: Feedback) -> None:
    given = feedback.give("acme", "user:ann", rated("a-1", "up"))
    for project, actor in (("acme", "user:bob"), ("rival", "user:ann")):
        with pytest.raises(NotFound, match="no feedback"):
            feedback.remove(project, given.id, actor=actor)
    feedback.remove("acme", given.id, actor="user:ann")
    assert feedback.list("acme").data == []


def test_lists_have_pages(feedback: Feedback) -> None:
    given = [feedback.give("acme", "user:ann", rated(f"a-{number}", "up")).id for number in range(3)]
    first = feedback.list("acme", limit=2)
    assert [each.id for each in first.data] == given[:0:-1]
    assert [each.id for each in feedback.list("acme", after=first.next, limit=2).data] == given[:1]
    assert [each.id for each in feedback.all("acme")] == given[::-1]
    with pytest.raises(NotFound):
        feedback.list("acme", after="with a NUL \0")


def test_what_says_nothing_is_refused(feedback: Feedback) -> None:
    for new, complaint in (
        (rated("a-1"), "is empty"),
        (NewFeedback(answer="a-1", kind="vote"), "needs the other answers"),
        (rated("a-1", "up", rejected=[RejectedAnswer(text="Blue.")]), "Only a vote"),
    ):
        with pytest.raises(BadRequest, match=complaint):
            feedback.give("acme", "user:ann", new)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("preference", [("Red.", "Blue."), ("Red.", "Green."), ("Red.", "Rd.")]),
        ("chat", ["Red.", "Yellow."]),
    ],
)
def test_feedback_becomes_rows(
    feedback: Feedback, all_datasets: Datasets, encryption: Encryption, kind: ExportKind, expected: list[Any]
) -> None:
    given = {"messages": ASKED}
    feedback.give("acme", "user:bob", rated("a-1", "up", user="bob", text="Yellow.", **given))
    feedback.give("acme", "user:ann", rated("a-1", "down", user="ann", text="Rd.", correction="Red.", **given))
    feedback.give("acme", "user:ann", rated("a-2", "down", text="Bad.", **given))
    feedback.give("acme", "user:ann", rated("a-3", "up"))  # Its texts aren't known.
    feedback.give("acme", "user:ann", vote("a-4", "Red.", "Blue.", "Green.", is_blind=True))
    feedback.give("acme", "user:ann", vote("a-5", "Red.", "Pink.", is_tie=True))
    datasets = all_datasets.of("acme")
    made = make_dataset(datasets, "liked", feedback.all("acme"), kind, subject_of=feedback.subject_of, actor="user:ann")
    rows = [*datasets.rows(made)]
    if kind == "preference":
        assert [(row.content.chosen[0].content, row.content.rejected[0].content) for row in rows] == expected
    else:
        assert [row.content.messages[-1].content for row in rows] == expected
    assert rows[-1].subject in {encryption.ring.index("subject", "acme", name) for name in ("ann", "bob")}
    assert all(row.content.messages[0].content == "Name a color." for row in rows)
    with pytest.raises(BadRequest, match="No feedback makes a row"):
        make_dataset(datasets, "none", [], kind, subject_of=feedback.subject_of, actor="user:ann")


def test_nothing_that_a_person_wrote_is_in_the_database(feedback: Feedback, database: Database) -> None:
    feedback.give("acme", "user:ann", rated("a-1", "down", correction="Secret correction", text="Secret answer"))
    with database.session() as session:
        (sealed,) = session.execute(text("SELECT sealed FROM feedback")).one()
    assert b"Secret" not in bytes(sealed)


def test_retention_expires_removes_and_refuses_feedback(
    feedback: Feedback, database: Database, encryption: Encryption, clock: MovedClock, tmp_path: Path
) -> None:
    data = ProjectData(database, Files(database, tmp_path / "files", encryption), [], clock=clock)
    feedback.give("acme", "user:ann", rated("a-1", "up"))
    data.set_retention("acme", "2d", None)
    clock.now += timedelta(days=3)
    assert feedback.list("acme").data == []
    data.set_retention("acme", "default", None)  # Which sweeps.
    feedback.give("acme", "user:ann", rated("a-1", "up"))
    data.remove("acme")
    with database.session() as session:
        for table in ("feedback", "object_keys"):
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    Retentions(database, clock=clock).set("acme", Retention("nothing"))
    with pytest.raises(Conflict, match="stores no data"):
        feedback.give("acme", "user:ann", rated("a-1", "up"))
