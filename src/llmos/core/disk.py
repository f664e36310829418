"""Writes that survive a power loss, and room on the disk before a long one. On Linux and macOS."""

import errno
import os
import sys
from pathlib import Path


def sync_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of entries, is on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_content(handle: int) -> None:
    """Wait until the content of an open file is on the disk, without its times where the system can do that."""
    if sys.platform == "darwin":
        os.fsync(handle)
    else:
        os.fdatasync(handle)


def reserve(handle: int, num_bytes: int) -> None:
    """Give an open file its size. Raises OSError at once if the disk is too small, where the system can tell."""
    if sys.platform == "darwin":
        room = os.fstatvfs(handle)
        if room.f_bavail * room.f_frsize < num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(handle, num_bytes)
    else:
        os.posix_fallocate(handle, 0, num_bytes)


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data` to an open file descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
