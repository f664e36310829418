"""Queries: SQL on the rows of one version, in a process of its own with limits of memory, time and rows."""

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.store.store import Store
from llmos.data.datasets.query_process import Query, QueryResult, SegmentFile
from llmos.data.datasets.versions import DatasetVersion

_COMMAND = (sys.executable, "-P", "-m", "llmos.data.datasets.query_process")

MAX_SQL = 100_000
"""The most characters of a query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryLimits:
    memory_bytes: int = 512 << 20
    seconds: int = 30
    rows: int = 1000
    result_bytes: int = 16 << 20


def run_query(store: Store, version: DatasetVersion, sql: str, limits: QueryLimits | None = None) -> QueryResult:
    """Return the result of a SELECT on the view `rows`. Raises BadRequest for a wrong query, and over a limit, and
    StoreFailed for a segment that was modified."""
    limits = limits or QueryLimits()
    if len(sql) > MAX_SQL:
        raise BadRequest(f"The query has {len(sql):,} characters; the limit is {MAX_SQL:,}.", param="sql")
    with ExitStack() as held:
        files = []
        for segment in version.segments:
            if segment.role == "rows":
                path = store.blob_path(segment.blob)
                file = os.open(path, os.O_RDONLY)
                held.callback(os.close, file)
                files.append(_segment_file(path, file))
        query = Query(
            sql=sql,
            files=files,
            memory_bytes=limits.memory_bytes,
            cpu_seconds=limits.seconds,
            max_rows=limits.rows,
            max_bytes=limits.result_bytes,
        )
        reply = _run(query, limits.seconds)
    if reply.damage is not None:
        raise StoreFailed(reply.damage)
    if reply.error is not None:
        raise BadRequest(_advice(reply.error), param="sql")
    return reply


def _segment_file(path: Path, file: int) -> SegmentFile:
    if not isinstance(path, SealedPath):
        return SegmentFile(descriptor=file)
    key = path.key
    return SegmentFile(descriptor=file, object_id=key.object_id, key=key.key)


def _run(query: Query, seconds: int) -> QueryResult:
    """Run the process. Raises BadRequest where it takes too long or dies."""
    try:
        done = subprocess.run(
            _COMMAND,
            input=msgspec.json.encode(query),
            capture_output=True,
            pass_fds=[file.descriptor for file in query.files],
            env={"PATH": "", "HOME": "/nonexistent"},  # It gets no secret of this process.
            timeout=seconds + 5,  # for a process that waits
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_long(seconds) from None
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=QueryResult)
    if done.returncode < 0 and -done.returncode in (24, 9):  # SIGXCPU, SIGKILL
        raise _too_long(seconds)
    raise BadRequest(
        f"The query needs more than {query.memory_bytes >> 20} MiB of memory, or its process died"
        f" (status {done.returncode}). Select less, or aggregate in several queries.",
        param="sql",
    )


def _too_long(seconds: int) -> BadRequest:
    return BadRequest(f"The query takes longer than {seconds} seconds, the limit. Select less.", param="sql")


def _advice(reason: str) -> str:
    """Return duckdb's reason, with what there is to select from."""
    known = "id, content (JSON), origin, language, license, consent, subject, split"
    hint = f" The table is `rows`, with the columns {known}." if reason.startswith(("Binder", "Catalog")) else ""
    return f"{reason.strip()}{hint}"
