"""Spill: entries that the database couldn't take, in files beside it, until it can.

Each writer has a file of its own and holds a lock on it. Files without a lock are those of writers that were killed;
the next one reads them, too. A file is removed when the database has all of it. A crash before that stores entries
again, which adds nothing (ledger.py).

A file begins as zeros, so that a disk that fills up later has room for the entries of the calls that run then.
"""

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from llmos.billing.entries import Entry
from llmos.core.ids import new_id

_log = logging.getLogger(__name__)

RESERVED_BYTES = 1 << 20
"""Room for about 3,000 entries."""

_AT_ONCE = 1000
_FILES = "spill-*.jsonl"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode

Store = Callable[[Sequence[Entry]], object]


class Spill:
    """Any thread may use it; one at a time reads back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        """The path of the open file; None if there is none."""
        self._has_entries = False
        self._has_room = False
        """The file's disk space has been allocated."""
        self._is_reading = False

    def is_empty(self) -> bool:
        """Return whether no entries are left by this writer or one before it: not until all of them are stored."""
        if self._is_reading:
            return False  # A file that is being read is locked, as that of a running writer.
        others = (path for path in self._folder.glob(_FILES) if path != self._path)
        return not self._has_entries and all(map(_is_in_use, others))

    def count(self) -> int:
        """Return how many entries are in the files of all writers. Some may be in the database, too."""
        return sum(_count(path) for path in self._folder.glob(_FILES))

    def reserve(self) -> None:
        """Take room on the disk for later. On a disk that has none now, say so, and try again when called again."""
        with self._lock:
            try:
                self._file = self._file or self._open()
                if not self._has_room and not self._has_entries:
                    _fill(self._file)
                    self._has_room = True
            except OSError as error:
                _log.warning(
                    "%s has no room for entries of the ledger, which wait there while the database fails: %s. Until"
                    " there is some, calls are refused where the database takes nothing. Free some space.",
                    self._folder,
                    error,
                )

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries to the disk. Raises OSError; then some may be there, too."""
        with self._lock:
            file = self._file = self._file or self._open()
            self._has_entries = True
            try:
                # The line break at the start ends what a failed write has left.
                file.write(b"\n" + b"".join(_encode(each) + b"\n" for each in entries))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                self._release()
                raise

    def read_back(self, store: Store) -> int:
        """Store what is in the files, remove them, and return how many entries there were. Raises what `store`
        raises.

        This writer's own file stays, and so does its room: on a full disk nobody gets it back.
        """
        self._is_reading = True
        try:
            return self._read_own_back(store) + self._read_others_back(store)
        finally:
            self._is_reading = False

    def _read_others_back(self, store: Store) -> int:
        num_entries = 0
        for path in sorted(self._folder.glob(_FILES)):
            with suppress(FileNotFoundError), path.open("rb") as file:
                if not _acquire(file):
                    continue  # Another writer uses it.
                for entries in _parts(file):
                    store(entries)
                    num_entries += len(entries)
                path.unlink()
        return num_entries

    def _read_own_back(self, store: Store) -> int:
        with self._lock:
            file, path = self._file, self._path
            end = 0 if file is None or not self._has_entries else file.tell()
        if file is None or path is None or not end:
            return 0
        num_entries = 0
        with path.open("rb") as written:
            for entries in _parts(written):
                store(entries)
                num_entries += len(entries)
        with self._lock:
            # Others may have added more meanwhile. A crash before this stores the entries again, which adds nothing.
            if self._file is file and file.tell() == end:
                os.pwrite(file.fileno(), bytes(min(end, RESERVED_BYTES)), 0)
                if end > RESERVED_BYTES:
                    os.ftruncate(file.fileno(), RESERVED_BYTES)
                file.seek(0)
                self._has_entries = False
        return num_entries

    def close(self) -> None:
        """Release the file, and remove it if it has no entries. The next one is a new one."""
        with self._lock:
            if self._path is not None and not self._has_entries:
                self._path.unlink(missing_ok=True)
            self._release()

    def _release(self) -> None:
        file, self._file, self._path, self._has_entries = self._file, None, None, False
        if file is not None:
            with suppress(OSError):  # On a full disk, what wasn't written can't be written now either.
                file.close()

    def _open(self) -> BinaryIO:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = self._folder / f"{new_id('spill')}.jsonl"
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            file = os.fdopen(number, "wb")
            # Another writer may have found the file before it was locked, and removed it.
            if _acquire(file) and path.exists():
                self._path, self._has_room = path, False
                with suppress(OSError):
                    _fill(file)
                    self._has_room = True
                return file
            file.close()


def _fill(file: BinaryIO) -> None:
    """Write zeros, which entries replace later, as far as there is room. Raises OSError if there isn't enough."""
    if os.pwrite(file.fileno(), bytes(RESERVED_BYTES), 0) < RESERVED_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


def _acquire(file: BinaryIO) -> bool:
    """Lock the file until it is closed. Return False if another writer has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_in_use(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not _acquire(file)
    except FileNotFoundError:
        return True


def _count(path: Path) -> int:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return sum(map(len, _parts(file)))
    return 0


def _parts(file: BinaryIO) -> Iterator[list[Entry]]:
    """Yield the entries of a file. A line that was cut was never reported as written."""
    part: list[Entry] = []
    for line in file:
        with suppress(msgspec.DecodeError):
            part.append(_decode(line))
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part
