"""Locks between processes, held on files."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(
    path: Path,
    mode: int = fcntl.LOCK_EX,
    *,
    keep: bool = False,
    wait: bool = True,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold an advisory lock (flock) on a file until the block ends. The kernel releases it when the process dies.

    `mode`: fcntl.LOCK_EX or LOCK_SH. `keep`: leave the file after the block; otherwise it is deleted. `on_wait`: called
    once before waiting for another process. Without `wait`, raises BlockingIOError if another process holds the lock.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise
                if on_wait is not None:
                    on_wait()
                fcntl.flock(handle, mode)
            if keep or _is_open_as(path, handle):
                try:
                    yield
                finally:
                    if not keep:
                        path.unlink(missing_ok=True)
                return
        finally:
            os.close(handle)
        # The previous holder deleted the file. The lock to take is on the file that has the name now.


def _is_open_as(path: Path, handle: int) -> bool:
    """Return whether the file descriptor is the file that has this path now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
