"""duckdb, opened for one purpose: reading columnar files. Queries of users run in query_process.py instead.

Opening a database takes 15 ms, longer than reading a segment, so that databases are opened once and used again.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "96MB",
    "temp_directory": "",  # It would hold plain rows.
    "threads": "1",  # Rows keep their order, and other threads of ours parse meanwhile.
}

_idle: "list[DuckDBPyConnection]" = []
"""Databases that nobody uses now. They belong to no thread: where this process forks, the child drops what belonged to
its parent's other threads, and dropping a database needs threads of its own that the child doesn't have."""

_lock = threading.Lock()

_MAX_IDLE = 4


@contextmanager
def open_columnar() -> "Iterator[DuckDBPyConnection]":
    """Open a connection to a database in memory that loads no extension.

    Connections are apart: one may read while another writes. Raises BadRequest where duckdb isn't installed.
    """
    database = _take()
    try:
        connection = database.cursor()
        try:
            yield connection
        finally:
            connection.close()
    finally:
        _give_back(database)


def _take() -> "DuckDBPyConnection":
    try:
        import duckdb
    except ImportError:
        raise BadRequest("Datasets need another package: pip install 'llmos[data]'") from None
    with _lock:
        if _idle:
            return _idle.pop()
    return duckdb.connect(":memory:", config=_CONFIG)


def _give_back(database: "DuckDBPyConnection") -> None:
    with _lock:
        if len(_idle) < _MAX_IDLE:
            _idle.append(database)
            return
    database.close()
