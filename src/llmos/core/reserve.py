"""A file that keeps some space of a disk for the changes that free space.

A full disk can't record that a model was removed, so without a reserve nothing could be removed to make room.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_BYTES = 1 << 19
"""Enough for SQLite's shared memory (32 KiB) and for the pages of some hundred changes."""
_MIN_BYTES = 1 << 16
_BLOCK_BYTES = 4096


class Reserve:
    """Any number of processes may use the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the space up until the block ends, and take back what is left of it."""
        existed = self._path.exists()
        with suppress(OSError):
            os.unlink(self._path)
        try:
            yield
        finally:
            self.keep(share=1.0 if existed else 0.5)

    def is_short(self) -> bool:
        """Return whether the disk has no room for more than the reserve."""
        try:
            return _free_bytes(self._path.parent) < 2 * MAX_BYTES
        except OSError:
            return False

    def keep(self, share: float = 0.5) -> None:
        """Write the file where it is missing. It takes at most this share of the free space. Raises nothing."""
        with suppress(OSError):
            if self._path.exists():
                return
            size = min(MAX_BYTES, int(_free_bytes(self._path.parent) * share)) // _BLOCK_BYTES * _BLOCK_BYTES
            if size >= _MIN_BYTES:
                _write(self._path, size)


def _free_bytes(folder: Path) -> int:
    stats = os.statvfs(folder)
    return stats.f_bavail * stats.f_frsize


def _write(path: Path, size: int) -> None:
    """Write a file of zeros, or none if the disk is too small for it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while size:
            size -= os.write(handle, bytes(size))
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(handle)
