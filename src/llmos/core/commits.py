"""Detects commits to the database by any process, so that caches of its content can be invalidated."""

import sqlite3
import threading
import time
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

_CHANNEL = "llmos_commits"
_MAX_AGE_SECONDS = 5
"""Notifications may be lost, for example in a proxy. The state therefore changes at least this often."""


class Commits(Protocol):
    """Counts commits to one database."""

    def watch(self) -> None:
        """Start counting. May wait for the network."""

    def state(self) -> int | None:
        """Return a number that every commit changes, or None before watch(). Never blocks."""

    def count_own(self) -> None:
        """Count a commit that this process has just made."""

    def close(self) -> None: ...


class SQLiteCommits:
    """Reads PRAGMA data_version, which SQLite changes with every commit of another connection."""

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

    def count_own(self) -> None:
        pass

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class PostgreSQLCommits:
    """Listens to a channel that every transaction of LLMOS notifies when it commits (LISTEN and NOTIFY)."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._listener: Any = None
        """A psycopg connection outside of the pool."""
        self._count = 0
        self._counted_at = 0.0

    def watch(self) -> None:
        with self._lock:
            if self._listener is not None or self._engine.dialect.driver != "psycopg":
                return
            pooled = self._engine.raw_connection()
            listener: Any = pooled.driver_connection
            pooled.detach()
            listener.autocommit = True
            listener.execute(f"LISTEN {_CHANNEL}")
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
