"""Batches: a file of requests that are answered when nobody else waits, and the files of their answers.

             begin              finalize              end
  validating ─────▶ in_progress ───────▶ finalizing ─────▶ completed
      │ fail          │      │ end
      ▼        cancel │      └──────▶ expired
   failed             ▼
                 cancelling ─────▶ cancelled

A status is entered in a transaction that has seen the one before it, so that of a cancelling and an ending at once
exactly one wins. Who carries a batch out is the gateway's business.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.data import queries
from llmos.data.files import LIVE_STATUSES, Files, Page
from llmos.data.journal import Journal, Progress, Read
from llmos.data.tables import BatchRow, FileRow

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
STATUSES: tuple[Status, ...] = Status.__args__  # type: ignore[attr-defined]

WINDOW = timedelta(hours=24)
"""A batch that isn't through by then expires."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that makes a whole batch fail."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
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
    """Status: when it was entered, in seconds since 1970."""
    labels: Mapping[str, str] | None
    num_total: int
    num_completed: int
    num_failed: int
    usage: Mapping[str, int]
    problems: Sequence[Problem]


class Batches:
    """Blocks on the database: call it from a thread."""

    def __init__(self, database: Database, files: Files, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._files = files
        self._clock = clock
        self.progress: dict[str, Progress] = {}
        """How far those are that are carried out in this process. The database knows it at their end."""
        self.on_change: Callable[[], None] | None = None
        """Called, in some thread, when somebody made or cancelled a batch."""

    def create(
        self, tenant: str, *, endpoint: str, input_file_id: str, labels: Mapping[str, str] | None = None
    ) -> Batch:
        """Raises BadRequest for a file that is no input of a batch, NotFound for one that is not there."""
        now = self._clock()
        with self._database.transaction() as session:
            # Locked, so that it isn't deleted meanwhile.
            file = queries.owned(session, FileRow, tenant, input_file_id, lock=True)
            if file is None:
                raise NotFound(
                    f"There is no file {input_file_id[:80]!r}. Upload one to /v1/files with the purpose `batch`.",
                    param="input_file_id",
                )
            if file.purpose != "batch":
                raise BadRequest(
                    f"{input_file_id} was made for the purpose `{file.purpose}`; a batch reads a file that was"
                    " uploaded with the purpose `batch`.",
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
                labels=dict(labels) if labels is not None else None,
                num_total=0,
                num_completed=0,
                num_failed=0,
                usage={},
                problems=[],
            )
            session.add(row)
            session.flush()
            batch = self._batch(row)
        self._tell()
        return batch

    def get(self, tenant: str, id: str) -> Batch:
        """Raises NotFound for a batch that there is not, or that is somebody else's."""
        with self._database.session() as session:
            return self._batch(_owned(session, tenant, id))

    def list(self, tenant: str, *, after: str | None = None, limit: int = 20) -> Page[Batch]:
        """Return the tenant's batches, newest first, behind the batch `after`. Raises NotFound where that is gone."""
        with self._database.session() as session:
            number = _owned(session, tenant, after).number if after is not None else None
            rows = queries.page(session, BatchRow, tenant, after=number, limit=limit + 1, newest_first=True)
            return Page([self._batch(row) for row in rows[:limit]], len(rows) > limit)

    def cancel(self, tenant: str, id: str) -> Batch:
        """Ask for its end; the lines that are answered stay. Raises Conflict for a batch that ended otherwise."""
        with self._database.transaction() as session:
            row = _owned(session, tenant, id, lock=True)
            if row.status in ("validating", "in_progress"):
                self._enter(row, "cancelling")
            elif row.status not in ("cancelling", "cancelled"):
                raise Conflict(f"{id} is {row.status}: there is nothing left to cancel.")
            batch = self._batch(row)
        self._tell()
        return batch

    def live(self) -> Sequence[Batch]:
        """Everybody's batches that have not ended, oldest first."""
        with self._database.session() as session:
            return [self._batch(row) for row in queries.batches_in(session, LIVE_STATUSES)]

    def by_status(self) -> dict[str, int]:
        """How many batches there are in each status, in all statuses that there may be."""
        with self._database.session() as session:
            return dict.fromkeys(STATUSES, 0) | queries.num_batches(session)

    # The rest is for whoever carries batches out. Each returns the batch as it is then: it may have been cancelled.

    def begin(self, id: str, num_total: int) -> Batch:
        """It can run, and has so many lines."""
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            row.num_total = num_total
            if row.status == "validating":
                self._enter(row, "in_progress")
            return self._batch(row)

    def find(self, id: str) -> Batch:
        with self._database.session() as session:
            return self._batch(queries.batch(session, id))

    def fail(self, id: str, problems: Sequence[Problem]) -> Batch:
        """It can't run, for these reasons."""
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            row.problems = [asdict(problem) for problem in problems]
            self._enter(row, "cancelled" if row.status == "cancelling" else "failed")
            return self._batch(row)

    def finalize(self, id: str) -> Batch:
        """Every line is answered."""
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            if row.status == "in_progress":
                self._enter(row, "finalizing")
            return self._batch(row)

    def end(self, id: str, journal: Journal) -> Batch:
        """Give the journal's files to the tenant and close the batch: completed, cancelled or expired, as it stands."""
        journal.close()
        ends: dict[str, Status] = {"finalizing": "completed", "cancelling": "cancelled", "in_progress": "expired"}
        with self._database.transaction() as session:
            row = queries.batch(session, id)
            kept = [
                self._keep(session, row, file_id, size)
                for file_id, size in zip(_file_ids(id), journal.sizes, strict=True)
            ]
            row.output_file_id, row.error_file_id = kept
            row.num_completed, row.num_failed = journal.progress.num_completed, journal.progress.num_failed
            row.usage = dict(journal.progress.usage)
            self._enter(row, ends[row.status])
            batch = self._batch(row)
        for file_id in set(_file_ids(id)) - set(kept):
            self._files.path(file_id).unlink(missing_ok=True)
        self.progress.pop(id, None)
        return batch

    def journal(self, id: str, read: Read) -> Journal:
        """Open what the batch has answered so far. One at a time."""
        output, errors = (self._files.path(file_id) for file_id in _file_ids(id))
        journal = Journal(output, errors, read)
        self.progress[id] = journal.progress
        return journal

    def sweep(self) -> None:
        """Remove what dead processes left of files and batches. Nobody may have a journal open."""
        self._files.sweep({file_id for batch in self.live() for file_id in _file_ids(batch.id)})

    def _keep(self, session: Session, row: BatchRow, file_id: str, size: int) -> str | None:
        if not size:
            return None
        name = f"{row.id}_{file_id.rpartition('-')[2]}.jsonl"
        file = FileRow(id=file_id, tenant=row.tenant, purpose="batch_output", filename=name, size=size)
        file.created_at = self._clock()
        session.add(file)
        return file_id

    def _tell(self) -> None:
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
            labels=row.labels,
            num_total=row.num_total,
            num_completed=progress.num_completed,
            num_failed=progress.num_failed,
            usage=dict(progress.usage),
            problems=[Problem(**problem) for problem in row.problems],
        )


def _file_ids(batch_id: str) -> tuple[str, str]:
    """The files of a batch's output and of its errors, which are written under these names from the beginning."""
    stem = batch_id.replace("batch", "file", 1)
    return f"{stem}-output", f"{stem}-error"


def _owned(session: Session, tenant: str, id: str, *, lock: bool = False) -> BatchRow:
    row = queries.owned(session, BatchRow, tenant, id, lock=lock)
    if row is None:
        raise NotFound(f"There is no batch {id[:80]!r}. GET /v1/batches lists those there are.", param="batch_id")
    return row
