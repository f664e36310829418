"""Callers' files: bytes in LLMOS_HOME/files under the file's id, everything else in the database.

A file is there when its row is. The bytes come first: who writes them holds a lock on them until the row is there, so
that sweep() can tell what a dead process left behind from what is still arriving.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound, StoreFailed
from llmos.core.ids import new_id
from llmos.data import queries
from llmos.data.tables import FileRow

PURPOSES = ("batch", "batch_output")
"""What callers upload for a batch, and what a batch gives them."""

LIVE_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")
"""Of a batch: it still needs its input."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    id: str
    tenant: str
    purpose: str
    filename: str
    size: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    has_more: bool


class Incoming:
    """A file that arrives. It is nobody's, and swept away, until Files.keep(). Any thread may call it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._is_open = True
        self._using = threading.Lock()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Add to the end. Raises StoreFailed for a disk that says no."""
        with self._using, disk_errors(self.path):
            if self._is_open:  # Its caller may have been cancelled and have discarded it.
                write_all(self._handle, data)
                self.size += len(data)

    def settle(self) -> None:
        """Return when the bytes are on the disk."""
        with disk_errors(self.path):
            os.fsync(self._handle)
            make_durable(self.path.parent)

    def close(self) -> None:
        with self._using:
            self._is_open = False
            os.close(self._handle)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()


class Files:
    """Blocks on the disk: call it from a thread."""

    def __init__(self, database: Database, folder: Path, *, clock: Clock = utc_now) -> None:
        self._database = database
        self.folder = folder
        self._clock = clock

    def begin(self) -> Incoming:
        """Open a place for a file to arrive in. Whoever asks ends it with keep() or discard()."""
        return Incoming(self.folder / new_id("file"))

    def keep(self, incoming: Incoming, *, tenant: str, purpose: str, filename: str) -> File:
        """Make what has arrived a file of the tenant."""
        incoming.settle()
        with self._database.transaction() as session:
            row = FileRow(id=incoming.path.name, tenant=tenant, purpose=purpose, filename=filename, size=incoming.size)
            row.created_at = self._clock()
            session.add(row)
            session.flush()
            file = _file(row)
        incoming.close()
        return file

    def get(self, tenant: str, id: str) -> File:
        """Raises NotFound for a file that there is not, or that is somebody else's."""
        with self._database.session() as session:
            return _file(_owned(session, tenant, id))

    def path(self, id: str) -> Path:
        return self.folder / id

    def list(
        self,
        tenant: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 10_000,
        newest_first: bool = True,
    ) -> Page[File]:
        """Return the tenant's files behind the file `after`. Raises NotFound where that is gone."""
        with self._database.session() as session:
            number = _owned(session, tenant, after).number if after is not None else None
            equal = {"purpose": purpose} if purpose is not None else {}
            rows = queries.page(
                session, FileRow, tenant, after=number, limit=limit + 1, newest_first=newest_first, **equal
            )
            return Page([_file(row) for row in rows[:limit]], len(rows) > limit)

    def delete(self, tenant: str, id: str) -> None:
        """Raises Conflict for a file that a batch still reads."""
        with self._database.transaction() as session:
            row = _owned(session, tenant, id, lock=True)
            if batches := queries.readers(session, id, LIVE_STATUSES):
                raise Conflict(f"{batches[0].id} reads {id}. Cancel that batch first, or wait for its end.")
            session.delete(row)
        self.path(id).unlink(missing_ok=True)

    def sweep(self, keep: Collection[str] = ()) -> int:
        """Remove the bytes that belong to no file, and are not to be kept; return how many files that were."""
        num_removed = 0
        known = self._known().union(keep)
        for path in sorted(self.folder.glob("file-*")):
            if path.name in known:
                continue
            # Another server on this home may have swept it away by now.
            with suppress(FileNotFoundError), path.open("rb") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # It is still arriving.
                if path.name not in self._known():  # It may have been whole a moment ago.
                    path.unlink()
                    num_removed += 1
        return num_removed

    def _known(self) -> set[str]:
        with self._database.session() as session:
            return queries.file_ids(session)


def _owned(session: Session, tenant: str, id: str, *, lock: bool = False) -> FileRow:
    row = queries.owned(session, FileRow, tenant, id, lock=lock)
    if row is None:
        raise NotFound(f"There is no file {id[:80]!r}. GET /v1/files lists those there are.", param="file_id")
    return row


def _file(row: FileRow) -> File:
    return File(
        id=row.id,
        tenant=row.tenant,
        purpose=row.purpose,
        filename=row.filename,
        size=row.size,
        created_at=row.created_at,
    )


def write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def make_durable(folder: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what to do about a disk that says no."""
    try:
        yield
    except OSError as error:
        advice = "Check who owns it."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "Free some room and try again, or choose another LLMOS_HOME."
        raise StoreFailed(f"{path} can't be written: {error.strerror}. {advice}") from error
