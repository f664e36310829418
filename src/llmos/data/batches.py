"""Batches: a file of requests that run in the background, and the files with their answers.

             begin              finalize              end
  validating ─────▶ in_progress ───────▶ finalizing ─────▶ completed
      │ fail          │      │ end
      ▼        cancel │      └──────▶ expired
   failed             ▼
                 cancelling ─────▶ cancelled

Each change of the status reads the current one in the same transaction, so that of a concurrent cancellation and
completion exactly one succeeds. The gateway runs the batches.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.data_key import DataKey
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.data import queries
from llmos.data.files import LIVE_STATUSES, Files, Page
from llmos.data.journal import Journal, Progress, Read
from llmos.data.retention import Retentions
from llmos.data.tables import BatchRow, FileRow

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
STATUSES: tuple[Status, ...] = Status.__args__  # type: ignore[attr-defined]

WINDOW = timedelta(hours=24)
"""The time after which a batch expires."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why a whole batch failed."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A batch and its progress."""

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    status: Status
    created_at: datetime
    expires_at: datetime
    entered: Mapping[str, int]
    """{status: time at which it was entered, in seconds since 1970}"""
    key_id: str | None
    """The API key that created it, with whose rights its lines run; None if unknown."""
    labels: Mapping[str, str] | None
    num_total: int
    num_completed: int
    num_failed: int
    usage: Mapping[str, int]
    problems: Sequence[Problem]


class Batches:
    """The batches of all tenants. Blocks on the database: call it from a thread."""

    def __init__(self, database: Database, files: Files, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._files = files
        self._clock = clock
        self.progress: dict[str, Progress] = {}
        """The progress of the batches that run in this process. The database has it once they end."""
        self.on_change: Callable[[], None] | None = None
        """Called in any thread after a batch was created or cancelled."""

    def create(
        self,
        tenant: str,
        *,
        endpoint: str,
        input_file_id: str,
        key_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Batch:
        """Create a batch.

        Raises NotFound for an unknown file, BadRequest for one with another purpose, and Conflict where nothing is kept
        for the tenant.
        """
        now = self._clock()
        Retentions(self._database).check_keeps(tenant)
        with self._database.transaction() as session:
            # The lock keeps the file from being deleted meanwhile.
            file = queries.owned(session, FileRow, tenant, input_file_id, lock=True)
            if file is None:
                raise NotFound(
                    f"There is no file {input_file_id[:80]!r}. Upload one to /v1/files with the purpose `batch`.",
                    param="input_file_id",
                )
            if file.purpose != "batch":
                raise BadRequest(
                    f"{input_file_id} has the purpose `{file.purpose}`; a batch needs a file that was uploaded with the"
                    " purpose `batch`.",
                    param="input_file_id",
                )
            row = BatchRow(
                id=new_id("batch"),
                tenant=tenant,
                endpoint=endpoint,
                input_file_id=input_file_id,
                status="validating",
                created_at=now,
                expires_at=now + WINDOW,
                entered={},
                key_id=key_id,
                labels=dict(labels) if labels is not None else None,
                num_total=0,
                num_completed=0,
                num_failed=0,
                usage={},
                problems=[],
            )
            session.add(row)
            session.flush()
            describe_action(row.id, endpoint=endpoint)
            batch = self._batch(row)
        self._notify()
        return batch

    def get(self, tenant: str, id: str) -> Batch:
        """Return a batch. Raises NotFound for an unknown batch and for another tenant's."""
        with self._database.session() as session:
            return self._batch(_owned(session, tenant, id))

    def list(self, tenant: str, *, after: str | None = None, limit: int = 20) -> Page[Batch]:
        """Return a page of the tenant's batches, newest first, after the batch `after`. Raises NotFound where that one
        doesn't exist."""
        with self._database.session() as session:
            number = _owned(session, tenant, after).number if after is not None else None
            rows = queries.page(session, BatchRow, tenant, after=number, limit=limit + 1, newest_first=True)
            return Page([self._batch(row) for row in rows[:limit]], len(rows) > limit)

    def cancel(self, tenant: str, id: str) -> Batch:
        """Cancel a batch; answered lines are kept. Raises NotFound, and Conflict for a batch that has ended."""
        with self._database.transaction(frees_space=True) as session:
            row = _owned(session, tenant, id, lock=True)
            if row.status in ("validating", "in_progress"):
                self._enter(row, "cancelling")
            elif row.status not in ("cancelling", "cancelled"):
                raise Conflict(f"{id} is {row.status} and can't be cancelled.")
            batch = self._batch(row)
        self._notify()
        return batch

    def live(self) -> Sequence[Batch]:
        """Return all tenants' batches that have not ended, oldest first."""
        with self._database.session() as session:
            return [self._batch(row) for row in queries.batches_in(session, LIVE_STATUSES)]

    def by_status(self) -> dict[str, int]:
        """Return {status: number of batches} for all statuses."""
        with self._database.session() as session:
            return dict.fromkeys(STATUSES, 0) | queries.num_batches(session)

    # The methods below are for the runner of batches. Each returns the current batch, which may have been cancelled.

    def begin(self, id: str, num_total: int) -> Batch:
        """Enter in_progress: the input is valid and has `num_total` lines."""
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            row.num_total = num_total
            if row.status == "validating":
                self._enter(row, "in_progress")
            return self._batch(row)

    def find(self, id: str) -> Batch:
        """Return the batch of any tenant, which must exist."""
        with self._database.session() as session:
            return self._batch(queries.batch(session, id))

    def fail(self, id: str, problems: Sequence[Problem]) -> Batch:
        """Enter failed, or cancelled if that was requested, for these reasons."""
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            row.problems = [asdict(problem) for problem in problems]
            self._enter(row, "cancelled" if row.status == "cancelling" else "failed")
            return self._batch(row)

    def finalize(self, id: str) -> Batch:
        """Enter finalizing: every line is answered."""
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            if row.status == "in_progress":
                self._enter(row, "finalizing")
            return self._batch(row)

    def end(self, id: str, journal: Journal) -> Batch:
        """Make the journal's files the tenant's, and enter completed, cancelled or expired."""
        journal.finish()
        final_statuses: dict[str, Status] = {
            "finalizing": "completed",
            "cancelling": "cancelled",
            "in_progress": "expired",
        }
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            kept = [
                self._keep(session, row, file_id, size)
                for file_id, size in zip(_file_ids(id), journal.sizes, strict=True)
            ]
            row.output_file_id, row.error_file_id = kept
            row.num_completed, row.num_failed = journal.progress.num_completed, journal.progress.num_failed
            row.usage = dict(journal.progress.usage)
            self._enter(row, final_statuses[row.status])
            batch = self._batch(row)
            key_queries.remove_object_keys(session, set(_file_ids(id)) - set(kept))
        for file_id in set(_file_ids(id)) - set(kept):
            self._files.path(file_id).unlink(missing_ok=True)
        self.progress.pop(id, None)
        return batch

    def journal(self, id: str, read: Read) -> Journal:
        """Open the batch's journal. Only one may be open at a time."""
        output, errors = (self._files.path(file_id) for file_id in _file_ids(id))
        output_key, error_key = (self._journal_key(id, file_id) for file_id in _file_ids(id))
        journal = Journal(output, errors, read, (output_key, error_key))
        self.progress[id] = journal.progress
        return journal

    def sweep(self) -> None:
        """Delete what dead processes left of uploads and batches. No journal may be open."""
        self._files.sweep({file_id for batch in self.live() for file_id in _file_ids(batch.id)})

    def _journal_key(self, batch_id: str, file_id: str) -> DataKey | None:
        """Return the key of a file of the journal, which is created with the file. None for one that is plain."""
        encryption, path = self._files.encryption, self._files.path(file_id)
        key = encryption.find_key(file_id)
        if key is None and not (path.exists() and path.stat().st_size):
            key = encryption.new_key(file_id)
            row = encryption.wrap(key, self.find(batch_id).tenant)
            with self._database.transaction() as session:
                session.add(row)
        return key

    def _keep(self, session: Session, row: BatchRow, file_id: str, size: int) -> str | None:
        if not size:
            return None
        name = f"{row.id}_{file_id.rpartition('-')[2]}.jsonl"
        file = FileRow(id=file_id, tenant=row.tenant, purpose="batch_output", filename=name, size=size)
        file.created_at = self._clock()
        session.add(file)
        return file_id

    def _notify(self) -> None:
        if (on_change := self.on_change) is not None:
            on_change()

    def _enter(self, row: BatchRow, status: Status) -> None:
        row.status = status
        row.entered = {**row.entered, status: int(self._clock().timestamp())}

    def _batch(self, row: BatchRow) -> Batch:
        progress = self.progress.get(row.id) or Progress(row.num_completed, row.num_failed, Counter(row.usage))
        return Batch(
            id=row.id,
            tenant=row.tenant,
            endpoint=row.endpoint,
            input_file_id=row.input_file_id,
            output_file_id=row.output_file_id,
            error_file_id=row.error_file_id,
            status=cast(Status, row.status),
            created_at=row.created_at,
            expires_at=row.expires_at,
            entered=row.entered,
            key_id=row.key_id,
            labels=row.labels,
            num_total=row.num_total,
            num_completed=progress.num_completed,
            num_failed=progress.num_failed,
            usage=dict(progress.usage),
            problems=[Problem(**problem) for problem in row.problems],
        )


def _file_ids(batch_id: str) -> tuple[str, str]:
    """Return the ids of a batch's output file and error file. They are known before the files exist."""
    stem = batch_id.replace("batch", "file", 1)
    return f"{stem}-output", f"{stem}-error"


def _owned(session: Session, tenant: str, id: str, *, lock: bool = False) -> BatchRow:
    row = queries.owned(session, BatchRow, tenant, id, lock=lock)
    if row is None:
        raise NotFound(f"There is no batch {id[:80]!r}. GET /v1/batches lists the batches.", param="batch_id")
    return row
