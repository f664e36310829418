"""Changes: lets a task of an event loop sleep until something has changed."""

import asyncio
from contextlib import suppress


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
