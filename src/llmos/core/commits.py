"""How a process hears that the database has changed, whoever changed it: what is remembered of it lasts until then."""

import sqlite3
import threading
import time
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

_CHANNEL = "llmos_commits"
_MAX_AGE_SECONDS = 5
"""A notice may get lost, in a proxy between us and the server. What is remembered is then wrong for so long at most."""


class Commits(Protocol):
    def watch(self) -> None:
        """Begin to count. May wait for the network."""

    def state(self) -> int | None:
        """Return a number that every commit changes; None while nobody watches. Waits for nothing."""

    def note_own(self) -> None:
        """Count a commit of this process, which has just happened."""

    def close(self) -> None: ...


class SQLiteCommits:
    """SQLite counts the commits of other connections itself: a connection that only ever looks sees them all."""

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def watch(self) -> None:
        pass

    def state(self) -> int | None:
        with self._lock:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def note_own(self) -> None:
        pass

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class PostgreSQLCommits:
    """Each transaction of ours tells a channel when it commits; a connection listens to it."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._line: Any = None
        """A connection of psycopg's own, outside of the pool: it stays with us."""
        self._count = 0
        self._counted_at = 0.0

    def watch(self) -> None:
        with self._lock:
            if self._line is not None or self._engine.dialect.driver != "psycopg":
                return
            pooled = self._engine.raw_connection()
            line: Any = pooled.driver_connection
            pooled.detach()
            line.autocommit = True
            line.execute(f"LISTEN {_CHANNEL}")
            self._line = line
            self._count_up()  # of the commits so far we know nothing

    def state(self) -> int | None:
        with self._lock:
            if self._line is None:
                return None
            from psycopg import OperationalError

            try:
                has_heard = self._has_heard()
            except OperationalError:
                self._hang_up()
                return None
            if has_heard or time.monotonic() > self._counted_at + _MAX_AGE_SECONDS:
                self._count_up()
            return self._count

    def note_own(self) -> None:
        with self._lock:
            self._count_up()

    def close(self) -> None:
        with self._lock:
            self._hang_up()

    def _has_heard(self) -> bool:
        """Take what has arrived, without waiting for more, and say whether that is anything."""
        self._line.pgconn.consume_input()
        has_heard = False
        while self._line.pgconn.notifies() is not None:
            has_heard = True
        return has_heard

    def _count_up(self) -> None:
        self._count += 1
        self._counted_at = time.monotonic()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def announce(connection: Connection) -> None:
    """Tell everybody who watches, once the transaction of this connection commits."""
    connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")
