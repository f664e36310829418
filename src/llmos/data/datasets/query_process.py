"""The process that runs one query on the segments of a version, and nothing else.

    the server  querying.py  --- the query as JSON on standard input, the segments as open files --->  main()
                             <--- the result as JSON on standard output ---------------------------

It reads no file but its segments, which it knows by their descriptors only, loads no extension and reaches no network.
The keys of encrypted segments come with the query. SQL has no way to them: duckdb gets the bytes that Python decrypts.
The kernel limits its memory and its time; duckdb is locked besides, in this order: no extension installs or loads by
itself, the segments are the only allowed paths, there is no other access, and no setting changes any more.
"""

import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import LLMOSError
from llmos.data.datasets.sealed_sources import lend_files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OVERHEAD_BYTES = 1 << 30
"""The address space of Python, numpy and duckdb itself. Little of it is ever memory."""


class SegmentFile(msgspec.Struct, kw_only=True):
    """An open segment."""

    descriptor: int
    object_id: str = ""
    key: bytes = b""
    """Its data key; empty for a segment that isn't encrypted."""

    @property
    def path(self) -> Path:
        path = Path(f"/dev/fd/{self.descriptor}")
        key = DataKey(self.object_id, self.key)
        return SealedPath.of(path, lambda: key) if self.key else path


class Query(msgspec.Struct, kw_only=True):
    """The request of the parent process. Don't print it: it has keys."""

    sql: str
    files: list[SegmentFile]
    memory_bytes: int
    cpu_seconds: int
    max_rows: int
    max_bytes: int
    """The most bytes of the result."""


class QueryResult(msgspec.Struct, kw_only=True):
    columns: list[str] = msgspec.field(default_factory=list)
    rows: list[list[Any]] = msgspec.field(default_factory=list)
    is_cut: bool = False
    """There are more rows than the limit."""
    error: str | None = None
    """The reason why there is no result: a mistake in the query, or a limit."""
    damage: str | None = None
    """The same: a segment was modified, or can't be decrypted."""


def main() -> None:
    query = msgspec.json.decode(sys.stdin.buffer.read(), type=Query)
    resource.setrlimit(resource.RLIMIT_CPU, (query.cpu_seconds, query.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import duckdb  # before the limit of memory, so that there is room for its code, as for that of decryption

    if any(file.key for file in query.files):
        import fsspec  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (query.memory_bytes + _OVERHEAD_BYTES,) * 2)
    try:
        result = _run(query)
    except LLMOSError as error:
        result = QueryResult(damage=error.message)
    except (duckdb.Error, MemoryError) as error:
        result = QueryResult(error=str(error) or "It needs more memory than the limit.")
    sys.stdout.buffer.write(msgspec.json.encode(result, enc_hook=str))


def _run(query: Query) -> QueryResult:
    import duckdb

    statements = duckdb.extract_statements(query.sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return QueryResult(error="Write one SELECT statement: rows can be read, and nothing can be changed.")
    with open_locked([file.path for file in query.files], query.memory_bytes) as connection:
        return _result(connection.execute(statements[0]), query)


def _result(found: "DuckDBPyConnection", query: Query) -> QueryResult:
    result = QueryResult(columns=[column[0] for column in found.description or ()])
    num_bytes = 0
    while batch := found.fetchmany(100):
        for row in batch:
            if len(result.rows) == query.max_rows:
                result.is_cut = True
                return result
            values = [_plain(value) for value in row]
            num_bytes += len(msgspec.json.encode(values, enc_hook=str))
            if num_bytes > query.max_bytes:
                return QueryResult(error=f"The result has more than {query.max_bytes:,} bytes. Select less of it.")
            result.rows.append(values)
    return result


@contextmanager
def open_locked(paths: Sequence[Path], memory_bytes: int) -> "Iterator[DuckDBPyConnection]":
    """Open a database whose view `rows` has the rows of these segments, and that reaches nothing else."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "memory_limit": f"{memory_bytes // 1_000_000}MB",
            "python_enable_replacements": "false",
            "temp_directory": "",
            "threads": "1",
        },
    )
    with lend_files(connection, paths) as names:
        listed = ", ".join(f"'{name}'" for name in names)
        connection.execute(f"SET allowed_paths = [{listed}]")
        connection.execute("SET enable_external_access = false")
        columns = "lower(hex(id)) AS id, content::JSON AS content, origin, language, license, consent, subject, split"
        connection.execute(f"CREATE VIEW rows AS SELECT {columns} FROM read_parquet([{listed}])")  # noqa: S608
        connection.execute("SET lock_configuration = true")
        yield connection


def _plain(value: Any) -> Any:
    """Return a value that JSON has. Numbers that it doesn't have become null, as in JavaScript."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return str(value)
    return value


if __name__ == "__main__":
    main()
