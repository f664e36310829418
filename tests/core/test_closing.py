"""Database.close(): no connection stays open, whatever other threads do at that moment."""

import sqlite3
from contextlib import suppress

import pytest
from sqlalchemy import Engine, event, text

from llmos.core import commits
from llmos.core.database import Database


def is_open(connection):
    if not isinstance(connection, sqlite3.Connection):
        return not connection.closed
    with suppress(sqlite3.ProgrammingError):
        return connection.execute("SELECT 1").fetchall() == [(1,)]
    return False


@pytest.fixture
def connections():
    """The connections that are opened during the test."""
    found = []

    def add(connection, _):
        found.append(connection)

    event.listen(Engine, "connect", add)
    yield found
    event.remove(Engine, "connect", add)


def test_idle_connections_are_closed(database, connections):
    with database.session() as one, database.session() as other:
        one.execute(text("SELECT 1"))
        other.execute(text("SELECT 1"))
    database.close()
    assert len(connections) == 2
    assert not any(map(is_open, connections))


@pytest.mark.parametrize("use", [Database.session, Database.counting, Database.plain_counting])
def test_a_connection_in_use_is_closed_when_it_is_returned(database, connections, use):
    with use(database) as opened:
        opened.run_sql("SELECT 1") if use is Database.plain_counting else opened.execute(text("SELECT 1"))
        database.close()
        assert any(map(is_open, connections))
    assert not any(map(is_open, connections))


def test_a_database_that_is_used_after_it_was_closed_leaves_nothing_open(database, connections):
    database.close()
    for _ in range(2):
        with database.session() as session:
            assert session.execute(text("SELECT 1")).scalar() == 1
    assert len(connections) == 2
    assert not any(map(is_open, connections))


def test_a_closed_database_is_not_watched(database, connections):
    database.watch()
    assert database.state() is not None
    database.close()
    database.watch()
    assert database.state() is None
    assert not any(map(is_open, connections))


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_failed_watch_leaves_nothing_open(database, connections, monkeypatch):
    monkeypatch.setattr(commits, "_CHANNEL", "no name of a channel")
    with pytest.raises(Exception, match="syntax error"):
        database.watch()
    assert [is_open(each) for each in connections] == [False]
