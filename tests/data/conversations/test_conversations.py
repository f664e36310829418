"""Conversations: trees of messages of one person, encrypted, found again by their words."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data import word_search
from llmos.data.conversations.conversations import Conversations, NewMessage, Person
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.data.retention import Retention, Retentions
from support.apps import MovedClock

ANN = Person(project="acme", actor="user:ann", user="ann")
BOB = Person(project="acme", actor="user:bob", user="bob")


def said(role: str, content: Any, **fields: Any) -> NewMessage:
    return NewMessage(message={"role": role, "content": content}, **fields)


def test_an_edited_message_begins_a_branch_and_both_stay(conversations: Conversations) -> None:
    id = conversations.create(ANN, "Colors", {"model": "smollm2"}).id
    answer = said("assistant", "Red.", answer="chatcmpl-1", facts={"seconds": 0.5})
    assert conversations.append(ANN, id, [said("user", "Name a color."), answer], parent=None).leaf == 1
    assert conversations.append(ANN, id, [said("user", "Name a warm color.")], parent=None).leaf == 2
    assert conversations.append(ANN, id, [said("assistant", "Blue.")], parent=0).leaf == 3
    assert conversations.change(ANN, id, leaf=1).leaf == 1
    found = conversations.get(ANN, id)
    assert (found.title, found.settings, found.num_messages) == ("Colors", {"model": "smollm2"}, 4)
    assert [(each.parent, each.message["content"]) for each in found.messages] == [
        (None, "Name a color."), (0, "Red."), (None, "Name a warm color."), (0, "Blue."),
    ]  # fmt: skip
    assert (found.messages[1].answer, found.messages[1].facts) == ("chatcmpl-1", {"seconds": 0.5})


def test_nobody_else_sees_a_conversation(conversations: Conversations) -> None:
    id = conversations.create(ANN).id
    for other in (BOB, Person(project="rival", actor="user:ann"), Person(project="acme", actor="key-1")):
        assert conversations.list(other).data == []
        with pytest.raises(NotFound, match="no conversation"):
            conversations.get(other, id)
        with pytest.raises(NotFound):
            conversations.remove(other, id)
    conversations.remove(ANN, id)
    with pytest.raises(NotFound):
        conversations.append(ANN, id, [said("user", "Hi")], parent=None)
    with pytest.raises(NotFound):
        conversations.get(ANN, "with a NUL \0")


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        (["assistant"], "begins with a message of the role user"),
        (["tool"], "begins with a message of the role user"),
        (["user", "user"], "user can't follow one of the role user"),
        (["user", "tool"], "tool can't follow one of the role user"),
        (["user", "assistant", "assistant"], "assistant can't follow one of the role assistant"),
        (["system"], "A system prompt is one of its settings"),
        ([["user"]], "of user, assistant or tool"),
    ],
)
def test_every_branch_is_a_conversation_that_a_model_can_continue(
    conversations: Conversations, roles: list[str], complaint: str
) -> None:
    id = conversations.create(ANN).id
    with pytest.raises(BadRequest, match=complaint):
        conversations.append(ANN, id, [said(role, "text") for role in roles], parent=None)
    assert conversations.get(ANN, id).messages == []


def test_what_is_wrong_is_said(conversations: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    id = conversations.create(ANN).id
    with pytest.raises(BadRequest, match="no message 7"):
        conversations.append(ANN, id, [said("user", "Hi")], parent=7)
    with pytest.raises(BadRequest, match="no message 7"):
        conversations.change(ANN, id, leaf=7)
    with pytest.raises(BadRequest, match="title has 201"):
        conversations.change(ANN, id, title="x" * 201)
    with pytest.raises(BadRequest, match="settings have"):
        conversations.change(ANN, id, settings={"system": "x" * 300_000})
    with pytest.raises(BadRequest, match="at most"):
        conversations.append(ANN, id, [said("user", "x" * (5 << 20))], parent=None)
    monkeypatch.setattr("llmos.data.conversations.conversations.MAX_MESSAGES", 2)
    with pytest.raises(Conflict, match="Begin a new one"):
        conversations.append(ANN, id, [said(role, "x") for role in ("user", "assistant", "user")], parent=None)


def test_all_words_of_a_search_are_found_in_title_and_messages(conversations: Conversations) -> None:
    long = conversations.create(ANN, "Trip to ÖSTERREICH").id
    body = "word " * 40 + "The Danube flows through Vienna." + " word" * 40
    conversations.append(
        ANN, long, [said("user", [{"type": "text", "text": body}, {"type": "image_url"}])], parent=None
    )
    other = conversations.create(ANN, "河流").id
    conversations.append(ANN, other, [said("user", "多瑙河流经维也纳。"), said("assistant", None)], parent=None)
    conversations.create(BOB, "Danube")
    (found,) = conversations.list(ANN, query="österreich vienna").data
    assert (found.id, found.title) == (long, "Trip to ÖSTERREICH")
    assert conversations.list(ANN, query="danube").data[0].excerpt.startswith("…word word")
    assert "The Danube flows through Vienna." in conversations.list(ANN, query="danube").data[0].excerpt
    assert [each.id for each in conversations.list(ANN, query="维也纳").data] == [other]
    assert conversations.list(ANN, query="danube 维也纳").data == []


def test_lists_have_pages_the_one_used_last_first(conversations: Conversations, clock: MovedClock) -> None:
    ids = [conversations.create(ANN, str(number)).id for number in range(5)]
    clock.now += timedelta(seconds=1)
    conversations.append(ANN, ids[1], [said("user", "Hi")], parent=None)
    expected, seen, after = [ids[1], ids[4], ids[3], ids[2], ids[0]], [], None
    for _ in range(3):
        page = conversations.list(ANN, after=after, limit=2)
        seen += [each.id for each in page.data]
        after = page.next
    assert (seen, after) == (expected, None)


def test_a_search_reads_a_limited_amount_at_a_time_and_goes_on(
    conversations: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_search, "MAX_SCANNED", 250)
    wanted = conversations.create(ANN, "the one with a llama").id
    for _ in range(6):
        id = conversations.create(ANN, "other").id
        conversations.append(ANN, id, [said("user", "x" * 100)], parent=None)
    first = conversations.list(ANN, query="llama")
    assert (first.data, first.next is not None) == ([], True)
    found, after = [], first.next
    while after is not None:
        page = conversations.list(ANN, query="llama", after=after)
        found += page.data
        after = page.next
    assert [each.id for each in found] == [wanted]


def test_nothing_that_a_person_wrote_is_in_the_database(conversations: Conversations, database: Database) -> None:
    id = conversations.create(ANN, "Secret title", {"system": "Secret prompt"}).id
    conversations.append(ANN, id, [said("user", "Secret question")], parent=None)
    with database.session() as session:
        for table in ("conversations", "conversation_messages"):
            assert b"Secret" not in b"".join(
                bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                for row in session.execute(text(f"SELECT * FROM {table}"))
                for value in row
            )


def test_retention_expires_removes_and_refuses_conversations(
    conversations: Conversations, database: Database, encryption: Encryption, clock: MovedClock, tmp_path: Path
) -> None:
    data = ProjectData(database, Files(database, tmp_path / "files", encryption), [], clock=clock)
    id = conversations.create(ANN).id
    data.set_retention("acme", "2d", None)
    clock.now += timedelta(days=1)
    conversations.append(ANN, id, [said("user", "Hi")], parent=None)
    clock.now += timedelta(days=1.5)
    assert conversations.get(ANN, id).num_messages == 1
    clock.now += timedelta(days=1)
    with pytest.raises(NotFound):
        conversations.get(ANN, id)
    data.set_retention("acme", "default", None)  # Which sweeps.
    other = conversations.create(ANN).id
    data.remove("acme")
    with pytest.raises(NotFound):
        conversations.get(ANN, other)
    with database.session() as session:
        for table in ("conversations", "conversation_messages", "object_keys"):
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    Retentions(database, clock=clock).set("acme", Retention("nothing"))
    with pytest.raises(Conflict, match="stores no data"):
        conversations.create(ANN)
