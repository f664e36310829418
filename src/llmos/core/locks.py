"""Locks between processes, on files."""

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
    """Hold an advisory lock on a file. The kernel lets go of it when the process dies, however it dies.

    Without `wait`, raises BlockingIOError where another holds it. The file goes with the lock unless it is to be kept.
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
        # The one we waited for removed the file under us: the lock that counts is on the file that has the name now.


def _is_open_as(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
