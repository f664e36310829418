"""VersionWriter: writes a new version, row by row, in bounded memory.

Rows are collected to segments. Other threads compress them, while the caller makes the next rows. A segment whose
rows the project has already is not written again. Nothing is visible before finish(), and nothing remains of a writer
that doesn't finish, or whose process dies.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

from llmos.core.canonical import canonical
from llmos.core.errors import BadRequest
from llmos.core.store.blobs import StagedBlob
from llmos.core.store.store import Store
from llmos.data.datasets.contents import Kind
from llmos.data.datasets.manifest import FORMAT, Manifest
from llmos.data.datasets.rows import Row, records_of
from llmos.data.datasets.segments import (
    MAX_BYTES,
    Change,
    digest_of_records,
    encode_changes,
    encode_rows,
    is_cut_after,
)
from llmos.data.datasets.versions import DatasetVersion, Segment

_NUM_THREADS = 2
"""Threads that compress segments. They wait for the interpreter's lock in between, which the caller holds mostly, so
that one of them would be slower than the caller is."""

_MAX_PENDING = 2
"""Segments that the threads have while the caller hands another one over: each takes memory."""

_CHANGES_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Everything about a version that is to be recorded, except its rows."""

    name: str
    kind: Kind
    source: str
    license: str | None = None
    parents: Sequence[DatasetVersion] = ()
    recipe: Mapping[str, Any] | None = None
    claimed: Mapping[str, Any] | None = None
    """The manifest that came with the rows. It holds if the rows are those that it names."""
    actor: str | None = None
    last_number: int | None = None
    """The number of the version that was made last when this one was begun; another one since is a Conflict. 0: there
    was none. None: whatever was made since."""


@dataclass(frozen=True, slots=True)
class WrittenSegment:
    """A segment of the project (`staged` None), or one that is on its way to the store."""

    segment: Segment
    staged: StagedBlob | None


Find = Callable[[str], Segment | None]
"""Return a segment in the store by the digest of its rows."""

Record = Callable[[Draft, Manifest, Sequence[WrittenSegment], int, Mapping[str, Any]], DatasetVersion]
"""record(draft, manifest, segments, content_bytes, report): list the version."""


class VersionWriter:
    """Writes one version. Use it in one thread, as a context manager; see llmos.data.datasets."""

    def __init__(self, store: Store, draft: Draft, find: Find, record: Record) -> None:
        if draft.recipe is not None:
            canonical(draft.recipe)
        self._store, self._draft, self._find, self._record = store, draft, find, record
        self._held = ExitStack()
        self._rows: list[Row] = []
        self._changes: list[Change] = []
        self._num_bytes = self._content_bytes = self._num_rows = 0
        self._hashing = hashlib.sha256()
        self._pending: deque[Future[WrittenSegment]] = deque()
        self._written: list[WrittenSegment] = []
        self._written_changes: list[WrittenSegment] = []
        self._reasons: Counter[tuple[str, str, str]] = Counter()
        self.report: dict[str, Any] = {}
        """Counts that are kept with the version. finish() adds those of dropped and replaced rows."""

    def __enter__(self) -> Self:
        self._scratch = self._held.enter_context(self._store.scratch())
        self._threads = self._held.enter_context(ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="segments"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._pending:
            future.cancel()
        self._held.close()

    @property
    def num_rows(self) -> int:
        """The rows that were added."""
        return self._num_rows + len(self._rows)

    def add(self, row: Row) -> None:
        """Append a row. Raises BadRequest for one of another kind."""
        if row.kind != self._draft.kind:
            raise BadRequest(
                f"A row of the kind {row.kind} can't be in a version of the kind {self._draft.kind}. Make a dataset"
                " for each kind.",
                param="kind",
            )
        self._rows.append(row)
        self._num_bytes += len(row.body)
        if is_cut_after(row, self._num_bytes):
            self._cut()

    def drop(self, row: Row, operator: str, reason: str, detail: str | None = None) -> None:
        """Record that a row of a parent isn't in this version. `reason`: a short, fixed word, such as "too_short"."""
        self._change(Change(id=row.id, operator=operator, reason=reason, detail=detail))

    def replace(self, row: Row, successor: Row, operator: str, reason: str, detail: str | None = None) -> None:
        """Append a row that takes the place of a parent's row, and record it. Does only the first if they are equal."""
        if successor.id != row.id:
            self._change(Change(id=row.id, operator=operator, reason=reason, detail=detail, successor=successor.id))
        self.add(successor)

    def finish(self) -> DatasetVersion:
        """List the version and return it; the same manifest is the same version. Raises BadRequest without any row."""
        self._cut()
        self._cut_changes()
        self._collect(0)
        if not self._num_rows:
            raise BadRequest(f"No row is left for {self._draft.name}: a version has at least one.")
        manifest = Manifest(
            kind=self._draft.kind,
            num_rows=self._num_rows,
            rows=f"sha256:{self._hashing.hexdigest()}",
            license=self._draft.license,
            parents=[parent.digest for parent in self._draft.parents],
            recipe=self._draft.recipe,
        )
        claimed = _parse_manifest(self._draft.claimed)
        if claimed is not None and (claimed.rows, claimed.kind) == (manifest.rows, manifest.kind):
            manifest = msgspec.structs.replace(claimed, num_rows=manifest.num_rows)
        report = self.report | _counts(self._reasons)
        return self._record(
            self._draft, manifest, [*self._written, *self._written_changes], self._content_bytes, report
        )

    def _change(self, change: Change) -> None:
        kind = "dropped" if change.successor is None else "replaced"
        self._reasons[kind, change.operator, change.reason] += 1
        self._changes.append(change)
        if len(self._changes) >= _CHANGES_AT_ONCE:
            self._cut_changes()

    def _cut(self) -> None:
        """Hand the collected rows to the threads that write segments."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        assert self._num_bytes < MAX_BYTES + len(rows[-1].body)
        records = records_of(rows)
        self._hashing.update(records)
        self._num_rows += len(rows)
        self._content_bytes += self._num_bytes
        self._num_bytes = 0
        self._collect(_MAX_PENDING)
        self._pending.append(self._threads.submit(self._write_segment, rows, digest_of_records(records)))

    def _write_segment(self, rows: list[Row], rows_digest: str) -> WrittenSegment:
        if (known := self._find(rows_digest)) is not None:
            return WrittenSegment(known, None)
        segment = Segment(role="rows", rows_digest=rows_digest, num_rows=len(rows))
        return WrittenSegment(segment, self._store.stage(encode_rows(rows), self._scratch))

    def _cut_changes(self) -> None:
        changes, self._changes = self._changes, []
        if not changes:
            return
        staged = self._store.stage(encode_changes(changes), self._scratch)
        self._written_changes.append(WrittenSegment(Segment(role="changes", num_rows=len(changes)), staged))

    def _collect(self, num_left: int) -> None:
        """Wait until at most `num_left` segments are being written. Raises what writing them raised."""
        while len(self._pending) > num_left:
            self._written.append(self._pending.popleft().result())


def _parse_manifest(claimed: Mapping[str, Any] | None) -> Manifest | None:
    """Return the manifest, if it is one that these rules understand."""
    try:
        found = None if claimed is None else msgspec.convert(claimed, Manifest)
    except msgspec.ValidationError:
        return None
    return found if found is not None and found.format == FORMAT else None


def _counts(reasons: Counter[tuple[str, str, str]]) -> dict[str, Any]:
    """Return {"dropped": {operator: {reason: count}}, "replaced": …}."""
    counts: dict[str, Any] = {}
    for (kind, operator, reason), count in sorted(reasons.items()):
        counts.setdefault(kind, {}).setdefault(operator, {})[reason] = count
    return counts
