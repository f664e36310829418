"""duckdb, opened for one purpose: reading and writing columnar files. Queries of users run in query.py instead."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "96MB",
    "threads": "1",  # Rows keep their order, and other threads of ours parse meanwhile.
}


@contextmanager
def open_columnar(**config: Any) -> "Iterator[DuckDBPyConnection]":
    """Open a database in memory that loads no extension. Raises BadRequest where duckdb isn't installed."""
    try:
        import duckdb
    except ImportError:
        raise BadRequest("Datasets need another package: pip install 'llmos[data]'") from None
    connection = duckdb.connect(":memory:", config={**_CONFIG, **config})
    try:
        yield connection
    finally:
        connection.close()
