"""The database: migrations, transactions, and use by several processes at once."""

import asyncio
import importlib
import inspect
import pkgutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import llmos
import llmos.core.jobs.tables
import llmos.data.app_versions.tables
import llmos.data.datasets.tables
import llmos.data.knowledge.tables
import llmos.data.prompts.tables
import llmos.data.tables
import llmos.deployments.tables
import llmos.models.tables
import llmos.security.audit.tables
import llmos.security.guardrails.tables
import llmos.security.oidc.tables
import llmos.security.receipts.tables
import llmos.security.tables
import llmos.security.users.tables
from llmos.core import commits
from llmos.core.database import Base, Database
from llmos.core.errors import BadRequest, Conflict, StoreFailed
from llmos.core.revisions import newest_revision
from llmos.deployments.tables import RouteRow, RouteTargetRow
from support.looking import pause_thread

real_migrations = pytest.mark.usefixtures("real_migrations")


def declared_tables():
    """Return the tables that the code declares, in all of its modules called tables."""
    for module in pkgutil.walk_packages(llmos.__path__, "llmos."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    return Base.metadata


@pytest.fixture
def database_url(request, databases, database_kind, tmp_path):
    """A new database, without tables in tests of migrations."""
    is_migrated = "real_migrations" not in request.fixturenames
    with databases.create(database_kind, tmp_path / "home", migrated=is_migrated) as url:
        yield url


@pytest.fixture
def other(database_url):
    """The same database, opened again as another process would."""
    other = Database(database_url)
    yield other
    other.close()


def test_a_class_stands_below_those_that_it_leads_to():
    """Another thread may use the database while a module is imported, and needs what is mapped by then to be whole."""
    declared_tables()
    for mapper in Base.registry.mappers:
        for relationship in mapper.relationships:
            source, target = mapper.class_, relationship.mapper.class_
            if source.__module__ == target.__module__:
                lines = [inspect.getsourcelines(each)[1] for each in (target, source)]
                assert lines == sorted(lines), f"{target.__name__} stands below {source.__name__}"


@real_migrations
def test_the_migrations_create_the_declared_tables(database):
    database.upgrade()
    with database.session() as session:
        differences = compare_metadata(MigrationContext.configure(session.connection()), declared_tables())
    assert differences == []


@real_migrations
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("dump", sorted((Path(__file__).parent / "databases").iterdir()), ids=lambda path: path.stem)
def test_a_database_that_an_earlier_version_made_gets_all_tables(database, dump):
    """A migration must come after all that were ever merged, or databases that passed its place never get it."""
    with sqlite3.connect(database.url.database) as connection:
        connection.executescript(dump.read_text())
    connection.close()
    database.upgrade()
    with database.session() as session:
        differences = compare_metadata(MigrationContext.configure(session.connection()), declared_tables())
    assert differences == []


@real_migrations
def test_a_new_database_has_the_dialogue_route(database):
    database.upgrade()
    with database.session() as session:
        (target,) = session.query(RouteTargetRow)
        assert (target.route, target.role, target.target, target.percent) == ("dialogue", "weighted", "smollm2", 100)


@real_migrations
def test_a_route_of_an_older_database_keeps_its_target(database):
    with database.transaction() as session:
        connection = session.connection()
        config = Config()
        config.set_main_option("script_location", str(Path(llmos.core.database.__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text("INSERT INTO routes (name, target, updated_at) VALUES ('chat', 'a@1', '2026-01-01')"))
    database.upgrade()
    with database.session() as session:
        found = {each.route: (each.target, each.percent) for each in session.query(RouteTargetRow)}
        assert found == {"dialogue": ("smollm2", 100), "chat": ("a@1", 100)}
        assert session.get(RouteRow, "chat").sticky == "user"


@real_migrations
def test_a_removed_dialogue_route_does_not_come_back(database):
    database.upgrade()
    with database.transaction() as session:
        session.query(RouteRow).delete()
    database.upgrade()
    with database.session() as session:
        assert session.query(RouteRow).count() == 0


def state_unlike(database, known):
    """Wait until the state differs from these. PostgreSQL's notification of a commit takes a moment."""
    while (state := database.state()) in known:
        pause_thread()
    return state


def test_the_state_changes_with_every_change_and_only_then(database, other, monkeypatch):
    monkeypatch.setattr(commits.time, "monotonic", lambda: 0.0)
    database.upgrade()
    database.watch()
    before = database.state()
    assert before is not None
    with database.session() as session:
        session.query(RouteRow).count()
    assert database.state() == before
    with suppress(KeyError), database.transaction() as session:
        session.query(RouteRow).delete()
        raise KeyError
    with database.transaction() as session:
        session.query(RouteRow).count()
    with other.counting() as session:
        session.query(RouteRow).update({"sticky": "none"})
    assert database.state() == before or not database.is_sqlite
    before = database.state()
    with database.transaction() as session:
        session.query(RouteRow).delete()
    after = state_unlike(database, [before])
    with other.transaction() as session:
        session.add(RouteRow(name="a", sticky="none", updated_at=datetime.now(UTC)))
    assert state_unlike(database, [before, after]) is not None


def test_a_commit_of_this_process_changes_the_state_at_once(database):
    database.upgrade()
    database.watch()
    before = database.state()
    with database.transaction() as session:
        session.query(RouteRow).delete()
    assert database.state() != before


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_loop_sees_commits_of_its_process_at_once_and_those_of_others_after_milliseconds(
    database, other, monkeypatch
):
    now = [0.0]
    monkeypatch.setattr(commits.time, "monotonic", lambda: now[0])
    database.upgrade()

    def change(changed):
        with changed.transaction() as session:
            session.query(RouteRow).delete()
            session.add(RouteRow(name="a", sticky="none", updated_at=datetime.now(UTC)))

    def change_in_another_process():
        with closing(sqlite3.connect(database.url.database)) as connection:
            connection.execute("PRAGMA user_version = 1000")
            connection.commit()

    async def ask():
        first = database.state()
        change(other)
        second = database.state()
        change(database)
        third = database.state()
        assert len({first, second, third}) == 3
        change_in_another_process()
        assert database.state() == third
        now[0] += commits._OTHERS_SECONDS
        assert database.state() == 1000

    asyncio.run(ask())


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_without_notifications_the_state_changes_after_seconds(database, monkeypatch):
    now = 0.0
    monkeypatch.setattr(commits.time, "monotonic", lambda: now)
    database.upgrade()
    assert database.state() is None
    database.watch()
    before = database.state()
    now = 10.0
    assert database.state() != before


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_after_a_lost_connection_the_state_is_unknown_until_the_next_watch(database, other):
    database.upgrade()
    database.watch()
    before = database.state()
    with other.session() as session:
        session.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                 " AND datname = current_database()")
        )  # fmt: skip
    while database.state() is not None:
        pause_thread()
    database.watch()
    assert database.state() not in (None, before)


def test_a_session_reads_one_consistent_state(database, other):
    database.upgrade()
    with database.session() as reading:
        count = reading.query(RouteRow).count()
        with other.transaction() as session:
            session.add(RouteRow(name="new", sticky="none", updated_at=datetime.now(UTC)))
        assert reading.query(RouteRow).count() == count


def test_a_transaction_that_raises_is_rolled_back(database):
    database.upgrade()
    with suppress(KeyError), database.transaction() as session:
        session.add(RouteRow(name="half", sticky="done", updated_at=datetime.now(UTC)))
        session.flush()
        raise KeyError
    with database.session() as session:
        assert session.get(RouteRow, "half") is None


def test_changes_in_a_read_session_are_discarded(database):
    database.upgrade()
    with database.session() as session:
        session.add(RouteRow(name="ghost", sticky="user", updated_at=datetime.now(UTC)))
        session.flush()
    with database.session() as session:
        assert session.get(RouteRow, "ghost") is None


def test_a_time_comes_back_as_the_same_instant_in_utc(database):
    database.upgrade()
    in_shanghai = datetime(2026, 3, 1, 7, 30, tzinfo=timezone(timedelta(hours=8)))
    with database.transaction() as session:
        session.add(RouteRow(name="when", sticky="user", updated_at=in_shanghai))
    with database.session() as session:
        found = session.get(RouteRow, "when").updated_at
    assert found == in_shanghai
    assert found.tzinfo is UTC


def test_writers_that_read_first_wait_for_each_other_instead_of_failing(database):
    database.upgrade()

    def lengthen():
        for _ in range(20):
            with database.transaction() as session:
                route = session.get(RouteRow, "dialogue")
                route.timeout_seconds = (route.timeout_seconds or 0) + 1

    threads = [threading.Thread(target=lengthen) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.session() as session:
        assert session.get(RouteRow, "dialogue").timeout_seconds == 80


def test_foreign_keys_are_enforced(database):
    database.upgrade()
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(text("INSERT INTO version_files VALUES (99, 'a', 'b', 1)"))


def test_readers_are_not_blocked_by_a_writer(database):
    database.upgrade()
    with database.transaction() as writing:
        writing.get(RouteRow, "dialogue").sticky = "none"
        writing.flush()
        with database.session() as reading:
            assert reading.get(RouteRow, "dialogue").sticky == "user"


UPGRADE = """
import sys
from llmos.core.database import Database
sys.stdin.readline()
Database(sys.argv[1]).upgrade()
"""


@real_migrations
@pytest.mark.process
def test_several_processes_may_upgrade_at_once(database, database_url):
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, database_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for starter in starters:
        starter.stdin.write("go\n")
        starter.stdin.flush()
    outcomes = [starter.communicate() for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 4, outcomes
    with database.session() as session:
        assert session.query(RouteRow).count() == 1


KILLED_MIDWAY = """
import os, sys
from alembic.operations import Operations
from llmos.core.database import Database
Operations.create_index = lambda *args, **kwargs: os._exit(9)
Database(sys.argv[1]).upgrade()
"""


@real_migrations
@pytest.mark.process
def test_the_next_upgrade_completes_one_that_was_killed(database, database_url):
    killed = subprocess.run([sys.executable, "-c", KILLED_MIDWAY, database_url], check=False)
    assert killed.returncode == 9
    database.upgrade()
    with database.session() as session:
        assert session.get(RouteRow, "dialogue") is not None


@real_migrations
def test_a_database_of_a_newer_program_is_refused(database):
    database.upgrade()
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match=f"newer LLMOS.*9999.*{newest_revision()}.*Update LLMOS"):
        database.upgrade()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "llmos.db").write_bytes(b"this is no database, " * 100)
    database = Database(f"sqlite:///{tmp_path}/llmos.db")
    with pytest.raises(StoreFailed, match=r"llmos\.db"):
        database.upgrade()
    database.close()


def test_a_home_that_is_a_file_is_named(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreFailed, match=r"home.*LLMOS_HOME"):
        Database(f"sqlite:///{tmp_path}/home/llmos.db")


@pytest.mark.parametrize("url", ["nonsense", "oracle9://somewhere", "sqlite:/oops/broken:9:9"])
def test_an_unsupported_url_is_refused_with_the_supported_ones(url):
    with pytest.raises(BadRequest, match=r"LLMOS_DATABASE_URL.*sqlite:///") as caught:
        Database(url)
    assert caught.value.param == "LLMOS_DATABASE_URL"
