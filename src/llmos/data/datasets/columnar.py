"""duckdb, opened for one purpose: reading and writing columnar files. Queries of users run in query_process.py instead.

Opening a database takes 15 ms, about as long as writing a segment, so that each thread opens one only once.
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
    "threads": "1",  # Rows keep their order, and other threads of ours parse meanwhile.
}

_opened = threading.local()


@contextmanager
def open_columnar() -> "Iterator[DuckDBPyConnection]":
    """Open a connection to a database in memory that loads no extension.

    Connections are apart: one may read while another writes. Raises BadRequest where duckdb isn't installed.
    """
    connection = _database().cursor()
    try:
        yield connection
    finally:
        connection.close()


def _database() -> "DuckDBPyConnection":
    """Return this thread's database. It is closed when the thread ends."""
    try:
        import duckdb
    except ImportError:
        raise BadRequest("Datasets need another package: pip install 'llmos[data]'") from None
    found: DuckDBPyConnection | None = getattr(_opened, "database", None)
    if found is None:
        found = _opened.database = duckdb.connect(":memory:", config=_CONFIG)
    return found
