"""Connections to SQLite: their settings, how their transactions begin, and whether commits wait for the disk."""

import sqlite3
import time
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, Engine

from llmos.core.statements import PlainTransaction

BUSY_TIMEOUT_SECONDS = 30
"""The time that a SQLite writer waits for the transaction of another process."""

_BUSY_PAUSE_SECONDS = 0.01

_SYNCHRONOUS, _SYNCHRONOUS_NOW = "llmos_synchronous", "llmos_synchronous_now"
_NORMAL = 1
"""PRAGMA synchronous, as a number."""

_COUNTING_CACHE_KIB = 8 * 1024
"""Room for the pages that each call changes: the ends of tables, and the upper levels of indexes by random ids."""


def on_connect(connection: Any, _record: Any) -> None:
    """Set up a new connection."""
    # The driver would begin transactions itself, and not before DDL. on_begin() does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def on_begin(connection: Connection) -> None:
    """Begin a transaction of the kind in the execution option `sqlite_begin`: DEFERRED, or IMMEDIATE to write."""
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:
        return  # One that counts, which has begun without SQLAlchemy.
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def on_counting_connect(connection: Any, record: Any) -> None:
    """Set up the connection of Database.counting(), behind on_connect()."""
    cursor = connection.cursor()
    record.info[_SYNCHRONOUS] = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.execute(f"PRAGMA cache_size = -{_COUNTING_CACHE_KIB}")
    cursor.close()


def set_durability(transaction: PlainTransaction, info: dict[str, Any], *, is_durable: bool) -> None:
    """Set whether a connection's next commits wait for the disk. `info`: what is known of the connection.

    Where they don't, the log is written to the disk at checkpoints only, which keeps a database in WAL mode sound.
    """
    if (usual := info.get(_SYNCHRONOUS)) is None:
        return  # In memory.
    wanted = usual if is_durable else min(usual, _NORMAL)
    if info.get(_SYNCHRONOUS_NOW, usual) != wanted:
        transaction.run_sql(f"PRAGMA synchronous = {wanted}")
        info[_SYNCHRONOUS_NOW] = wanted


def use_wal(engine: Engine) -> None:
    """Let writers and readers of a database work at the same time. Raises OperationalError of SQLite."""
    # SQLite stores the mode in the file, and changes it only outside of transactions. Of two processes that change
    # it at once, one gets an error that the busy timeout doesn't prevent.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    with closing(engine.raw_connection()) as raw, closing(raw.cursor()) as cursor:
        while True:
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_BUSY_PAUSE_SECONDS)
