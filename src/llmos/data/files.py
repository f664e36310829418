"""Callers' files: the bytes in LLMOS_HOME/files, encrypted, in a file named by the id, and a row in the database.

A file exists when its row does. The bytes are written first, and the writer holds a lock on them until the row is
committed. So sweep() can distinguish what a dead process left from an upload in progress.

Files that an earlier version kept may be plain; open() reads both.
"""

import errno
import fcntl
import io
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.disk import sync_to_disk, write_all
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.sealed_file import ChunkBuffer, SealedFile, SealedWriter, is_sealed
from llmos.core.errors import Conflict, NotFound, StoreFailed
from llmos.core.ids import new_id
from llmos.data import queries
from llmos.data.erased_contents import ErasedContents, digest_of
from llmos.data.retention import Retentions
from llmos.data.tables import FileRow

PURPOSES = ("batch", "batch_output", "assistants", "user_data")
"""The input of a batch, its output and errors, and documents (two names of OpenAI's for the same)."""

UPLOADED = ("batch", "assistants", "user_data")
"""The purposes of files that callers upload."""

LIVE_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")
"""The statuses of a batch that still needs its input file."""

_READ_BYTES = 64 * 1024

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    id: str
    tenant: str
    purpose: str
    filename: str
    size: int
    """Bytes."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    has_more: bool


class Upload:
    """A file that is being written. It has no owner until Files.finish(), and sweep() deletes it if its process dies.

    Any thread may use it.
    """

    def __init__(self, path: Path, key: DataKey) -> None:
        self.path, self.key = path, key
        self.size = 0
        """The plain bytes."""
        self._is_open = True
        self._lock = threading.Lock()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = _create_locked(path)
            self._chunks = ChunkBuffer(SealedWriter(self._handle, key))

    def write(self, data: bytes) -> None:
        """Append data; the last chunk stays in memory until sync(). Raises StoreFailed where the disk can't be
        written."""
        with self._lock, disk_errors(self.path):
            if self._is_open:  # A cancelled caller may have discarded the upload.
                self._chunks.write(data)
                self.size += len(data)

    def sync(self) -> None:
        """Write the last chunk, and wait until the bytes are on the disk. Raises StoreFailed."""
        with self._lock, disk_errors(self.path):
            self._chunks.finish()
            os.fsync(self._handle)
            sync_to_disk(self.path.parent)

    def close(self) -> None:
        """Close the file and release its lock."""
        with self._lock:
            self._is_open = False
            os.close(self._handle)

    def discard(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self.close()


def _create_locked(path: Path) -> int:
    """Create a file and lock it; return its descriptor."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # A sweep saw the file before it was locked, and deleted it.


class Files:
    """The files of all tenants. Blocks on the disk and the database: call it from a thread."""

    def __init__(self, database: Database, folder: Path, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self.database = database
        self.folder, self.encryption = folder, encryption
        self._clock = clock

    def begin(self) -> Upload:
        """Start an upload. The caller ends it with finish(), or with discard() of the upload."""
        id = new_id("file")
        return Upload(self.folder / id, self.encryption.new_key(id))

    def finish(self, upload: Upload, *, tenant: str, purpose: str, filename: str) -> File:
        """Make an upload a file of the tenant.

        Raises StoreFailed; Conflict where nothing is kept for the tenant, and for a content that was erased.
        """
        Retentions(self.database).check_keeps(tenant)
        upload.sync()
        self._check_not_erased(tenant, upload)
        key = self.encryption.wrap(upload.key, tenant)
        with self.database.transaction() as session:
            session.add(key)
            row = FileRow(id=upload.path.name, tenant=tenant, purpose=purpose, filename=filename, size=upload.size)
            row.created_at = self._clock()
            session.add(row)
            session.flush()
            describe_action(row.id, purpose=purpose)
            file = _file(row)
        upload.close()
        return file

    def _check_not_erased(self, tenant: str, upload: Upload) -> None:
        erased = ErasedContents(self.database, self.encryption.ring)
        if not erased.has_any(tenant):
            return
        with io.BufferedReader(SealedFile(upload.path, upload.key), buffer_size=_READ_BYTES) as content:
            if erased.are_blocked(tenant, [digest_of(content)]):
                raise Conflict(
                    "This file was erased at the request of a person whose data it has, and can't be uploaded again."
                    " Leave that person's lines out.",
                    param="file",
                )

    def rewrite(self, id: str, lines: Iterable[bytes]) -> None:
        """Replace the content of a file, which stays complete until then. Raises StoreFailed."""
        path, key = self.path(id), self.encryption.find_key(id)
        scratch = path.with_name(f".{id}.rewriting")
        with disk_errors(scratch):
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            size = 0
            try:
                chunks = None if key is None else ChunkBuffer(SealedWriter(handle, key))
                for line in lines:
                    size += len(line)
                    write_all(handle, line) if chunks is None else chunks.write(line)
                if chunks is not None:
                    chunks.finish()
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(scratch, path)
            sync_to_disk(path.parent)
        with self.database.transaction() as session:
            queries.set_file_size(session, id, size)

    def get(self, tenant: str, id: str) -> File:
        """Return a file. Raises NotFound for an unknown file and for another tenant's."""
        with self.database.session() as session:
            return _file(_owned(session, tenant, id))

    def path(self, id: str) -> Path:
        """Return the path of a file's bytes, which are encrypted."""
        return self.folder / id

    def open(self, id: str) -> BinaryIO:
        """Open a file's content. Raises FileNotFoundError, NotFound if its key was destroyed, and StoreFailed if it was
        modified."""
        path = self.path(id)
        if not is_sealed(path):
            return path.open("rb")
        key = self.encryption.find_key(id)
        if key is None:  # The file was deleted at this moment, or its row by other means.
            raise FileNotFoundError(errno.ENOENT, "The file has no key", str(path))
        return io.BufferedReader(SealedFile(path, key), buffer_size=_READ_BYTES)

    def list(
        self,
        tenant: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 10_000,
        newest_first: bool = True,
    ) -> Page[File]:
        """Return a page of the tenant's files, after the file `after`. Raises NotFound where that one doesn't exist."""
        with self.database.session() as session:
            number = _owned(session, tenant, after).number if after is not None else None
            equal = {"purpose": purpose} if purpose is not None else {}
            rows = queries.page(
                session, FileRow, tenant, after=number, limit=limit + 1, newest_first=newest_first, **equal
            )
            return Page([_file(row) for row in rows[:limit]], len(rows) > limit)

    def delete(self, tenant: str, id: str) -> None:
        """Delete a file. Raises NotFound, and Conflict for the input of a batch that has not ended."""
        with self.database.transaction(frees_space=True) as session:
            row = _owned(session, tenant, id, lock=True)
            if batches := queries.readers(session, id, LIVE_STATUSES):
                raise Conflict(f"{batches[0].id} is reading {id}. Cancel that batch first, or wait until it has ended.")
            session.delete(row)
            key_queries.remove_object_keys(session, [id])
        self.path(id).unlink(missing_ok=True)

    def sweep(self, keep: Collection[str] = ()) -> int:
        """Delete the bytes of unfinished uploads of dead processes, except the ids in `keep`; return how many files."""
        num_removed = 0
        known = self._known().union(keep)
        for path in sorted(self.folder.glob("file-*")):
            if path.name in known:
                continue
            # Another server on this home may have deleted it meanwhile.
            with suppress(FileNotFoundError), path.open("rb") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # The upload is in progress.
                if path.name not in self._known():  # The upload may have finished meanwhile.
                    path.unlink()
                    num_removed += 1
        return num_removed

    def _known(self) -> set[str]:
        with self.database.session() as session:
            return queries.file_ids(session)


def _owned(session: Session, tenant: str, id: str, *, lock: bool = False) -> FileRow:
    row = queries.owned(session, FileRow, tenant, id, lock=lock)
    if row is None:
        raise NotFound(f"There is no file {id[:80]!r}. GET /v1/files lists the files.", param="file_id")
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


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn OSError into StoreFailed with advice."""
    try:
        yield
    except OSError as error:
        advice = "Check its owner and permissions."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "Free some space and try again, or choose another LLMOS_HOME."
        raise StoreFailed(f"{path} can't be written: {error.strerror}. {advice}") from error
