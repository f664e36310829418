"""Detects commits to the database by any process, so that caches of its content can be invalidated."""

import asyncio
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from llmos.core.statements import connect

_CHANNEL = "llmos_commits"
_MAX_VERSION = 2**31 - 1
"""SQLite keeps 32 bits."""

_OTHERS_SECONDS = 0.005
"""A commit of another process to an SQLite database counts after this time at the latest."""

_own_commits: Counter[str] = Counter()
"""The commits of this process to each SQLite database, by path."""

_own_lock = threading.Lock()

_MAX_AGE_SECONDS = 5
"""Notifications may be lost, for example in a proxy. The state therefore changes at least this often."""


class Commits(Protocol):
    """Counts commits to one database."""

    def watch(self) -> None:
        """Start counting. May wait for the network."""

    def state(self) -> int | None:
        """Return a number that every commit changes, or None before watch() and after close(). Never blocks."""

    def count_own(self) -> None:
        """Count a commit that this process has just made."""

    def close(self) -> None:
        """Stop counting, for good."""


class SQLiteCommits:
    """Reads PRAGMA user_version, a number in the file, which every transaction of LLMOS that changes something counts
    up. Counts of calls (Database.counting) don't: PRAGMA data_version would change with them.

    What this process has committed changes it at once, and what others have after some milliseconds at most where an
    event loop asks: every call asks several times, and the driver gives the interpreter's lock away for each answer.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()
        self._real_path = os.path.realpath(path)
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False
        self._seen: tuple[int, float, int | None] | None = None
        """The last reading of the loop: the number of this process's commits before it, its expiry, and the number
        read."""

    def watch(self) -> None:
        pass

    def state(self) -> int | None:
        if asyncio._get_running_loop() is None:
            return self._read()
        seen, now = self._seen, time.monotonic()
        num_own = _own_commits[self._real_path]
        if seen is None or seen[0] != num_own or now >= seen[1]:
            self._seen = seen = num_own, now + _OTHERS_SECONDS, self._read()
        return seen[2]

    def count_own(self) -> None:
        with _own_lock:
            _own_commits[self._real_path] += 1

    def _read(self) -> int | None:
        with self._lock:
            if self._is_closed:
                return None
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._is_closed, self._seen = True, None
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def counted_in_sqlite(session: Session) -> Iterator[None]:
    """Count the session's transaction for all SQLiteCommits, unless the body changes nothing."""
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    num_before = driver.total_changes
    yield
    session.flush()
    if driver.total_changes != num_before:
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        connection.exec_driver_sql(f"PRAGMA user_version = {(version + 1) & _MAX_VERSION}")


class PostgreSQLCommits:
    """Listens to a channel that every transaction of LLMOS notifies when it commits (LISTEN and NOTIFY)."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._listener: Any = None
        """A psycopg connection outside of the pool."""
        self._is_closed = False
        self._count = 0
        self._counted_at = 0.0

    def watch(self) -> None:
        with self._lock:
            if self._is_closed or self._listener is not None or self._engine.dialect.driver != "psycopg":
                return
            pooled = connect(self._engine)
            listener: Any = pooled.driver_connection
            pooled.detach()
            try:
                listener.autocommit = True
                listener.execute(f"LISTEN {_CHANNEL}")
            except BaseException:
                listener.close()
                raise
            self._listener = listener
            self._count_up()  # Commits before now are unknown.

    def state(self) -> int | None:
        with self._lock:
            if self._listener is None:
                return None
            from psycopg import OperationalError

            try:
                is_notified = self._receive_notifications()
            except OperationalError:
                self._disconnect()
                return None
            if is_notified or time.monotonic() > self._counted_at + _MAX_AGE_SECONDS:
                self._count_up()
            return self._count

    def count_own(self) -> None:
        with self._lock:
            self._count_up()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True  # A thread may call watch() later.
            self._disconnect()

    def _receive_notifications(self) -> bool:
        """Consume the notifications that have arrived, and return whether there were any. Does not wait."""
        self._listener.pgconn.consume_input()
        is_notified = False
        while self._listener.pgconn.notifies() is not None:
            is_notified = True
        return is_notified

    def _count_up(self) -> None:
        self._count += 1
        self._counted_at = time.monotonic()

    def _disconnect(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def notify_on_commit(connection: Connection) -> None:
    """Notify all listeners when the connection's current transaction commits."""
    connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")
