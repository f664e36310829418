"""Shared by the runners of batches and of jobs: one runner per home, woken when something changes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from llmos.core.locks import locked

_log = logging.getLogger(__name__)

Pause = Callable[[float], Awaitable[None]]
"""asyncio.sleep, or a test's own."""


class Changes:
    """Wakes one task of the event loop in which it was created when something has changed."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()

    def notify(self) -> None:
        """Report a change. Any thread may call this."""
        with suppress(RuntimeError):  # The loop is closed: the server has stopped.
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, max_seconds: float) -> None:
        """Return after a change since the last return, or after `max_seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max_seconds):
                await self._event.wait()
        self._event.clear()


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
