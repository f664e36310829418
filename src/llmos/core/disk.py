"""Writes that survive a power loss."""

import os
from pathlib import Path


def sync_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of entries, is on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data` to an open file descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
