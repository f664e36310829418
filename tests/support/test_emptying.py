"""Databases on a PostgreSQL server are emptied between tests: the next one finds what a new database has."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import Unavailable
from llmos.deployments.tables import RouteRow

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _always_emptied(databases, monkeypatch):
    monkeypatch.setattr("support.databases._MAX_USES", 1_000_000)
    if databases._emptier is None:
        pytest.skip("The user of this server may not empty databases.")


def rows(database):
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    with database.session() as session:
        names = session.execute(text(tables)).scalars().all()
        return {name: session.execute(text(f"SELECT * FROM {name}")).all() for name in names}


def use(databases, run):
    """Run something in a database as a test has it, and return what the server knows it by, and what `run` returns."""
    with databases.create("postgresql", Path()) as url:
        database = Database(url)
        with database.session() as session:
            found = "SELECT oid FROM pg_database WHERE datname = current_database()"
            oid = session.execute(text(found)).scalar_one()
        result = run(database)
        database.close()
    return oid, result


def change(database):
    with database.transaction() as session:
        session.add(RouteRow(name="new", sticky="none", updated_at=datetime.now(UTC)))
        session.execute(text("DELETE FROM route_targets"))
        session.execute(text("UPDATE routes SET sticky = 'user'"))
        session.execute(text("SELECT setval(seqrelid::regclass, 100) FROM pg_sequence"))


def next_values(database):
    with database.session() as session:
        return session.execute(text("SELECT nextval(seqrelid::regclass) FROM pg_sequence")).scalars().all()


def test_the_next_test_finds_the_rows_of_a_new_database(databases):
    first, before = use(databases, lambda database: (rows(database), next_values(database)))
    assert before[0]["routes"]
    assert set(before[1]) == {1}
    second, _ = use(databases, change)
    third, after = use(databases, lambda database: (rows(database), next_values(database)))
    assert after == before
    assert first == second == third


def test_a_database_whose_tables_a_test_changed_is_used_no_more(databases):
    def change_tables(database):
        with database.transaction() as session:
            session.execute(text("ALTER TABLE routes RENAME TO elsewhere"))

    first, _ = use(databases, change_tables)
    second, tables = use(databases, rows)
    assert first != second
    assert "routes" in tables


def test_a_test_that_leaves_a_connection_open_fails_and_says_where_it_was_opened(databases, monkeypatch):
    monkeypatch.setattr("support.databases._PATIENCE_SECONDS", 0)
    left = []

    def leave_open(database):
        left.append(Database(str(database.url)))
        left[0].watch()

    with pytest.raises(pytest.fail.Exception, match=r"1 connections to .* left open(.|\n)*in leave_open"):
        use(databases, leave_open)
    left[0].close()


def test_what_a_test_forgot_to_stop_does_not_reach_the_database_of_the_next_one(databases):
    first, forgotten = use(databases, lambda database: database)
    with pytest.raises(Unavailable, match="can't be reached"):
        change(forgotten)
    second, _ = use(databases, rows)
    assert first == second
