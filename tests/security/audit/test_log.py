"""The audit log: an entry for each change, in the transaction of the change, in one unbroken chain."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from llmos.core.actions import Action, acting, describe_action
from llmos.core.database import Database
from llmos.core.errors import LLMOSError
from llmos.security.audit.audit import Audit
from llmos.security.audit.entries import NO_HASH, Event
from llmos.security.audit.log import AuditLog
from llmos.security.keys import Keys, NewKey
from llmos.security.projects import Projects


def creating(**fields: str) -> Action:
    return Action("key.create", project="owner", key="owner", address="192.0.2.1", request_id="req-1", **fields)


def test_a_change_and_its_entry_are_one_transaction(audit: Audit, keys: Keys) -> None:
    with acting(creating()) as action:
        key, text = keys.create(NewKey(role="viewer"))
    assert action.is_recorded
    (entry,) = audit.log.list()
    assert (entry.number, entry.action, entry.outcome, entry.object) == (1, "key.create", "succeeded", key.id)
    assert (entry.project, entry.key, entry.actor, entry.request_id) == ("owner", "owner", "owner", "req-1")
    assert (entry.address, entry.time, entry.previous) == ("192.0.2.1", "2026-11-01T00:00:00.000000Z", NO_HASH)
    assert entry.details == {"project": "owner", "role": "viewer"}
    with audit.log.reading() as rows:
        assert not any(text in row.body for row in rows)


def test_a_change_that_is_rolled_back_leaves_no_entry(audit: Audit, database: Database) -> None:
    with pytest.raises(ValueError), acting(creating()) as action, database.transaction():
        raise ValueError
    assert not action.is_recorded
    assert audit.log.list() == []


def test_nothing_changes_without_its_entry(audit: Audit, keys: Keys, database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("ALTER TABLE audit_entries RENAME TO elsewhere"))
    with pytest.raises((DatabaseError, LLMOSError)), acting(creating()):
        keys.create(NewKey())
    assert keys.list() == []


def test_an_action_has_one_entry_however_many_transactions_it_has(audit: Audit, projects: Projects) -> None:
    projects.create("acme")
    with acting(Action("project.remove", project="owner", user="alice", object="acme")):
        projects.remove("acme")
    assert [(each.action, each.object, each.actor) for each in audit.log.list()] == [
        ("project.remove", "acme", "alice")
    ]


def test_a_thread_that_goes_on_after_the_action_adds_nothing(audit: Audit, database: Database) -> None:
    with acting(creating()) as action:
        pass
    assert action.has_ended
    with database.transaction():
        describe_action("later")
    assert audit.log.list() == []


def test_entries_are_selected(audit: Audit) -> None:
    audit.log.record(
        [
            Event(action="key.create", outcome="succeeded", project="owner", key="key-1"),
            Event(action="key.revoke", outcome="refused", project="acme", key="key-2", error="permission_denied"),
            Event(action="keyring.open", outcome="succeeded", project="owner", user="alice"),
        ]
    )
    assert [each.number for each in audit.log.list(action="key")] == [2, 1]
    assert [each.number for each in audit.log.list(action="key.create")] == [1]
    assert [each.number for each in audit.log.list(actor="alice")] == [3]
    assert [each.number for each in audit.log.list(project="acme")] == [2]
    assert [each.number for each in audit.log.list(before=3, limit=1)] == [2]
    assert audit.log.list(since=audit.log.clock()) == audit.log.list()
    assert audit.log.list(actor="a\0b") == []


def test_what_callers_send_is_shortened_and_made_text(audit: Audit) -> None:
    audit.log.record([Event(action="model.pull", outcome="failed", object="x" * 10_000 + "\ud800\0")])
    audit.log.record([Event(action="model.pull", outcome="failed", object="a\0\ud800")])
    url = "https://user:secret@example.com/model.gguf?signature=secret"
    audit.log.record([Event(action="model.pull", outcome="failed", object=url, details={"model": url})])
    with audit.log.reading() as rows:
        bodies = [row.body for row in rows]
    assert len(bodies[0]) < 1000
    assert "secret" not in bodies[2]
    assert audit.checkpoints.verify().is_intact


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET body = '{}' WHERE number = 1",
        "UPDATE audit_entries SET actor = 'mallory'",
        "DELETE FROM audit_entries WHERE number = 2",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_checkpoints SET document = '{}'",
        "INSERT INTO audit_entries SELECT 9, time, action, actor, project, body, hash FROM audit_entries LIMIT 1",
    ],
)
def test_the_database_refuses_every_change_of_what_is_there(audit: Audit, database: Database, statement: str) -> None:
    audit.log.record([Event(action="key.create", outcome="succeeded")] * 2)
    audit.checkpoints.make()
    with pytest.raises(DatabaseError, match="append-only"), database.transaction() as session:
        session.execute(text(statement))
    assert [each.number for each in audit.log.list()] == [2, 1]


def test_no_entry_can_be_replaced(audit: Audit, database: Database) -> None:
    audit.log.record([Event(action="key.create", outcome="succeeded")] * 2)
    if database.is_sqlite:
        statement = "INSERT OR REPLACE INTO audit_entries VALUES (1, '', '', '', '', '{}', '')"
    else:
        statement = "TRUNCATE audit_entries"
    with pytest.raises(DatabaseError, match="append-only"), database.transaction() as session:
        session.execute(text(statement))


def test_the_chain_is_unbroken_with_several_servers_on_one_database(
    audit: Audit, database_url: str, database: Database
) -> None:
    others = [Database(database_url) for _ in range(3)]
    logs = [audit.log, *(AuditLog(other) for other in others)]
    together = threading.Barrier(len(logs))

    def append(log: AuditLog) -> None:
        together.wait()
        for i in range(25):
            log.record([Event(action="key.create", outcome="succeeded", object=f"key-{i}")])

    with ThreadPoolExecutor(len(logs)) as threads:
        for done in [threads.submit(append, log) for log in logs]:
            done.result()
    for other in others:
        other.close()
    found = audit.checkpoints.verify()
    assert (found.is_intact, found.num_entries) == (True, 100)
