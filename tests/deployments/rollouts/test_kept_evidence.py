"""Evidence in the database: restarts, several servers, and a database that is away for a while."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from llmos.deployments.rollouts import evidence as evidence_module
from llmos.deployments.rollouts import kept_evidence
from llmos.deployments.rollouts.evidence import CallOutcome, Comparison, Evidence
from llmos.deployments.rollouts.kept_evidence import KeptEvidence
from llmos.deployments.tables import EvidenceRow

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Server:
    """A run of a server: its evidence, and what keeps it."""

    def __init__(self, database):
        self.evidence = Evidence(clock=lambda: NOON)
        self.kept = KeptEvidence(database, self.evidence)

    def see(self, *kinds):
        for kind in kinds:
            outcome = CallOutcome(kind=kind, version="a@1", error="x" if kind == "failed" else None, seconds=1.5)
            self.evidence.record("chat", "a", outcome)

    @property
    def window(self):
        return self.evidence.window("chat", "a")


@pytest.fixture
def database(registry):
    return registry.database


def test_a_restarted_server_has_the_evidence_of_the_one_before(database):
    before = Server(database)
    before.see("answered", "answered", "failed")
    before.evidence.record_comparison(
        "chat", "b", Comparison(agrees=True, common_share=1.0, seconds=1, shadow_seconds=2)
    )
    before.kept.sync()
    after = Server(database)
    assert after.window.num_calls == 0
    after.kept.sync()
    assert after.window == before.window
    assert after.evidence.agreement("chat", "b") == before.evidence.agreement("chat", "b")


def test_servers_share_what_they_saw_and_count_nothing_twice(database):
    one, other = Server(database), Server(database)
    one.see("answered")
    other.see("failed", "answered")
    for _ in range(3):
        one.kept.sync()
        other.kept.sync()
    one.see("answered")
    for _ in range(2):
        one.kept.sync()
        other.kept.sync()
    assert (one.window.num_answered, one.window.num_failed) == (3, 1)
    assert (other.window.num_answered, other.window.num_failed) == (3, 1)


def test_syncs_of_several_threads_follow_one_another(database):
    server = Server(database)
    take_new, inside, at_once = server.evidence.take_new, [], []

    def watched():
        inside.append(None)
        for _ in range(100):
            os.sched_yield()
        at_once.append(len(inside))
        inside.pop()
        return take_new()

    server.evidence.take_new = watched
    with ThreadPoolExecutor(4) as threads:
        for sync in [threads.submit(server.kept.sync) for _ in range(8)]:
            sync.result()
    assert at_once == [1] * 8


def test_a_row_that_appears_after_a_later_one_is_read(database):
    """On PostgreSQL, ids are given before transactions are committed."""
    reader, writer = Server(database), Server(database)
    writer.see("answered")
    writer.kept.sync()
    with database.transaction() as session:
        first = session.scalars(select(EvidenceRow)).one()
        late = {name: getattr(first, name) for name in ("server", "route", "target", "at", "kind", "data")}
        first.id = 10
    reader.kept.sync()
    assert reader.window.num_calls == 1
    with database.transaction() as session:
        session.add(EvidenceRow(id=5, **late))
        session.add(EvidenceRow(id=11, **late))
    reader.kept.sync()
    assert reader.window.num_calls == 3


def test_what_a_database_that_is_away_does_not_take_is_kept_later(database, monkeypatch):
    server, other = Server(database), Server(database)
    server.see("answered", "failed")
    with monkeypatch.context() as away:

        def fail(*_, **__):
            raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

        away.setattr(type(database), "transaction", fail)
        with pytest.raises(OperationalError):
            server.kept.sync()
    server.see("refused")
    server.kept.sync()
    other.kept.sync()
    assert (other.window.num_answered, other.window.num_failed, other.window.num_refused) == (1, 1, 1)


def test_of_too_much_that_waits_the_newest_is_kept(database, monkeypatch):
    monkeypatch.setattr(evidence_module, "MAX_NEW", 3)
    server = Server(database)
    server.see("answered", "failed", "failed", "failed")
    assert [item.fact.kind for item in server.evidence.take_new()] == ["failed"] * 3


def test_the_oldest_rows_are_deleted(database, monkeypatch):
    monkeypatch.setattr(kept_evidence, "MAX_ROWS", 10)
    server = Server(database)
    for _ in range(4):
        server.see(*["answered"] * 5)
        server.kept.sync()
    with database.session() as session:
        assert session.scalar(select(func.count(EvidenceRow.id))) == 10
