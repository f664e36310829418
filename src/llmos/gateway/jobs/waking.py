"""Shared by the runners of batches and of jobs: one runner per home, whichever process it is in."""

import fcntl
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from llmos.core.locks import locked

_log = logging.getLogger(__name__)

Pause = Callable[[float], Awaitable[None]]
"""asyncio.sleep, or a test's own."""


async def lock_folder(held: ExitStack, folder: Path, poll_seconds: float, pause: Pause) -> None:
    """Lock a folder until `held` is closed. Waits while another process has it, and while it can't be written."""
    reported = False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder / "lock", keep=True, wait=False))
        except BlockingIOError:
            await pause(poll_seconds)
        except OSError as error:
            if not reported:
                _log.warning("Nothing in %s is run, because it can't be written: %s", folder, error.strerror)
            reported = True
            await pause(poll_seconds)
        else:
            return


def is_locked(folder: Path) -> bool:
    """Return whether a process, this one or another, holds the lock of lock_folder()."""
    try:
        with locked(folder / "lock", fcntl.LOCK_SH, keep=True, wait=False):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False
