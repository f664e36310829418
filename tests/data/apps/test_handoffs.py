"""Handoffs: made once, taken by one person, answered into the session, and gone with what they belong to."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import NewWebhook, Webhooks
from llmos.data.apps import queries
from llmos.data.apps.handoffs import MAX_ANSWER, Handoffs, NewHandoff
from llmos.data.apps.runs import AppRuns, End
from llmos.data.apps.sessions import AppSessions
from llmos.data.files import Files
from llmos.data.retention import Retention, Retentions
from llmos.data.sweep import Sweep
from support.apps import MovedClock, answer, lease, new_run, question


@pytest.fixture
def outbox(database: Database, encryption: Encryption, clock: MovedClock) -> Outbox:
    return Outbox(database, encryption, Webhooks(database, encryption, clock=clock), clock=clock)


@pytest.fixture
def handoffs(database: Database, encryption: Encryption, outbox: Outbox, clock: MovedClock) -> Handoffs:
    return Handoffs(database, encryption, outbox, clock=clock)


def new(key: str = "run-1", **fields: Any) -> NewHandoff:
    return NewHandoff(**{"app": "support", "key": key, "question": "Do you repair it?"} | fields)


def test_an_answer_becomes_a_turn_of_the_session(handoffs: Handoffs, sessions: AppSessions) -> None:
    id = sessions.open("acme", "support", "u42").id
    sessions.append("acme", id, [question("Do you repair it?"), answer("I don't know.")])
    made = handoffs.create("acme", new(session_id=id, messages=[question(), answer()]))
    assert (made.state, made.messages) == ("open", [question(), answer()])
    taken = handoffs.take("acme", made.id, actor="key-ada")
    assert (taken.state, taken.taken_by) == ("taken", "key-ada")
    answered = handoffs.answer("acme", made.id, "Yes, within two weeks.", actor="key-ada")
    assert (answered.state, answered.answer, answered.turn, answered.ended_by) == (
        "answered", "Yes, within two weeks.", 1, "key-ada",
    )  # fmt: skip
    last = sessions.turns("acme", id)[-1]
    assert last.messages == [question("Do you repair it?"), answer("Yes, within two weeks.")]
    assert last.run == made.id
    with pytest.raises(Conflict, match="has ended: it is answered"):
        handoffs.answer("acme", made.id, "No.", actor="key-bob")


def test_a_request_that_is_sent_twice_makes_one_handoff(handoffs: Handoffs) -> None:
    first, again = (handoffs.create("acme", new()) for _ in range(2))
    assert first == again
    assert handoffs.create("rival", new()).id != first.id
    assert len(handoffs.list("acme")) == 1


def test_one_person_takes_it_and_anybody_may_close_it(handoffs: Handoffs) -> None:
    id = handoffs.create("acme", new()).id
    assert handoffs.take("acme", id, actor="ada") == handoffs.take("acme", id, actor="ada")
    with pytest.raises(Conflict, match="ada has taken"):
        handoffs.take("acme", id, actor="bob")
    closed = handoffs.close("acme", id, reason="By telephone.", actor="bob")
    assert (closed.state, closed.reason, closed.ended_by, closed.turn) == ("closed", "By telephone.", "bob", None)
    with pytest.raises(Conflict, match="closed"):
        handoffs.take("acme", id, actor="ada")


def test_an_answer_waits_for_the_run_in_the_session(handoffs: Handoffs, sessions: AppSessions, runs: AppRuns) -> None:
    session = sessions.open("acme", "support", "u42").id
    run = runs.begin("acme", new_run(session))
    id = handoffs.create("acme", new(session_id=session, run_id=run.id)).id
    with pytest.raises(Conflict, match=run.id):
        handoffs.answer("acme", id, "Yes.", actor="ada")
    assert handoffs.get("acme", id).state == "open"
    runs.write("acme", run.id, lease(), [], End(state="failed"))
    assert handoffs.answer("acme", id, "Yes.", actor="ada").turn == 0


def test_an_answer_is_kept_where_the_session_is_gone(handoffs: Handoffs, sessions: AppSessions) -> None:
    session = sessions.open("acme", "support", "u42").id
    id = handoffs.create("acme", new(session_id=session)).id
    sessions.remove("acme", session)
    answered = handoffs.answer("acme", id, "Yes.", actor="ada")
    assert (answered.answer, answered.turn) == ("Yes.", None)


@pytest.mark.parametrize("said", ["", "  \n", "x" * (MAX_ANSWER + 1)])
def test_an_answer_says_something_and_not_everything(handoffs: Handoffs, said: str) -> None:
    id = handoffs.create("acme", new()).id
    with pytest.raises(BadRequest, match="32,768"):
        handoffs.answer("acme", id, said, actor="ada")


def test_what_is_not_there_is_not_found(handoffs: Handoffs) -> None:
    for fields in ({"session_id": "session-1"}, {"run_id": "run-1"}, {"webhook": "crm"}, {"run_id": "\0"}):
        with pytest.raises(NotFound):
            handoffs.create("acme", new(**fields))
    for id in ("handoff-1", "\0"):
        with pytest.raises(NotFound):
            handoffs.get("acme", id)
    id = handoffs.create("acme", new()).id
    with pytest.raises(NotFound):
        handoffs.take("rival", id, actor="ada")
    with pytest.raises(BadRequest, match="an app"):
        handoffs.create("acme", new(app="not a name"))


def test_handoffs_are_listed_newest_first_without_their_conversations(handoffs: Handoffs) -> None:
    ids = [handoffs.create("acme", new(f"{number}", app=app, messages=[question()])).id
           for number, app in enumerate(("support", "other", "support"))]  # fmt: skip
    handoffs.take("acme", ids[0], actor="ada")
    listed = handoffs.list("acme")
    assert [each.id for each in listed] == ids[::-1]
    assert [each.messages for each in listed] == [[], [], []]
    assert [each.id for each in handoffs.list("acme", app="support", state="taken")] == [ids[0]]
    assert [each.id for each in handoffs.list("acme", after=ids[2], limit=1)] == [ids[1]]


def test_handoffs_expire_as_responses_do(
    handoffs: Handoffs, database: Database, encryption: Encryption, clock: MovedClock, tmp_path: Path
) -> None:
    ended = handoffs.create("acme", new("a")).id
    handoffs.create("acme", new("b"))
    clock.now += timedelta(days=20)
    handoffs.close("acme", ended, actor="ada")
    clock.now += timedelta(days=20)
    assert [each.id for each in handoffs.list("acme")] == [ended]
    Sweep(Files(database, tmp_path, encryption), clock=clock).run()
    with database.session() as session:
        assert session.scalars(text("SELECT count(*) FROM app_handoffs")).one() == 1
    Retentions(database, clock=clock).set("acme", Retention("nothing"))
    with pytest.raises(NotFound):
        handoffs.get("acme", ended)
    with pytest.raises(Conflict, match="stores no data"):
        handoffs.create("acme", new("c"))


def test_nothing_that_anybody_wrote_can_be_read_in_the_database(
    handoffs: Handoffs, outbox: Outbox, database: Database, encryption: Encryption, clock: MovedClock
) -> None:
    Webhooks(database, encryption, clock=clock).add("acme", NewWebhook(name="crm", url="https://example.com"))
    id = handoffs.create("acme", new(question="marker", messages=[question("marker")], user="marker")).id
    handoffs.answer("acme", id, "marker", actor="ada")
    with database.session() as session:
        for table in ("app_handoffs", "webhook_messages", "object_subjects"):
            for row in session.execute(text(f"SELECT * FROM {table}")).all():
                kept = b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
                assert b"marker" not in kept


def test_webhooks_are_told_in_the_transaction_of_what_happens(
    handoffs: Handoffs, outbox: Outbox, database: Database, encryption: Encryption, clock: MovedClock
) -> None:
    webhooks = Webhooks(database, encryption, clock=clock)
    webhooks.add("acme", NewWebhook(name="all", url="https://all.example.com"))
    webhooks.add("acme", NewWebhook(name="named", url="https://named.example.com", events=["handoff.closed"]))
    id = handoffs.create("acme", new(webhook="https://named.example.com")).id
    handoffs.create("acme", new(webhook="named"))
    handoffs.answer("acme", id, "Yes.", actor="ada")
    told = {(each.webhook, each.event) for each in outbox.deliveries("acme")}
    assert told == {("all", "handoff.created"), ("named", "handoff.created"), ("all", "handoff.answered")}
    assert len(outbox.deliveries("acme")) == 3


def test_an_erasure_reaches_the_handoffs_of_a_person_and_of_their_session(
    handoffs: Handoffs, sessions: AppSessions, database: Database, encryption: Encryption
) -> None:
    session = sessions.open("acme", "support", "u42", user="ann").id
    of_session = handoffs.create("acme", new("a", session_id=session)).id
    of_person = handoffs.create("acme", new("b", user="ann")).id
    other = handoffs.create("acme", new("c", user="bob")).id
    with database.transaction() as db:
        objects = key_queries.objects_of(db, "acme", encryption.ring.index("subject", "acme", "ann"))
        _, _, gone = queries.remove_objects(db, "acme", objects)
    assert sorted(gone) == sorted([of_session, of_person])
    assert [each.id for each in handoffs.list("acme")] == [other]
    with database.transaction() as db:
        queries.remove_all_of(db, "acme")
    assert handoffs.list("acme") == []
