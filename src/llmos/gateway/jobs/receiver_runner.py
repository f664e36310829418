"""ReceiverRunner: sends what is due to receivers elsewhere, in the serving process.

What one receiver gets goes one after another, and different receivers at once: one that is slow or down keeps nobody
else waiting. Several servers of one database share the work.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from llmos.core.changes import Changes

_log = logging.getLogger(__name__)

MAX_AT_ONCE = 32
"""The limit of receivers that are sent to at the same time."""

POLL_SECONDS = 2.0
"""The delay until something is noticed that is due again, or that another process added."""


class ReceiverRunner:
    def __init__(
        self,
        due: Callable[[], Sequence[str]],
        deliver: Callable[[str], Awaitable[None]],
        *,
        what: str,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """due: returns the ids of receivers to send to. deliver: sends one receiver what is due. what: for the log."""
        self._due, self._deliver, self._what, self._poll_seconds = due, deliver, what, poll_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changes: Changes | None = None

    def notify(self) -> None:
        """Look for what is due at once. Any thread may call it."""
        if self._changes is not None:
            self._changes.notify()

    async def run(self) -> None:
        """Deliver what is due and what comes, until cancelled. What is being sent then is sent again later."""
        changes = self._changes = Changes()
        try:
            while True:
                await self._start_due()
                await changes.wait(self._poll_seconds)
        finally:
            self._changes = None
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _start_due(self) -> None:
        """Begin to send to the receivers that something is due for, but those that are sent to already."""
        try:
            due = await asyncio.to_thread(self._due)
        except Exception:
            _log.exception("%s can't be read; trying again", self._what)
            return
        for id in due:
            if id not in self._tasks and len(self._tasks) < MAX_AT_ONCE:
                task = asyncio.create_task(self._run_one(id), name=f"{self._what} {id}")
                self._tasks[id] = task
                task.add_done_callback(partial(self._ended, id))

    async def _run_one(self, id: str) -> None:
        try:
            await self._deliver(id)
        except Exception:  # For example, the database is unavailable for a while, or the receiver was removed.
            _log.exception("%s can't be sent; trying again", self._what)

    def _ended(self, id: str, _: object) -> None:
        del self._tasks[id]
        if len(self._tasks) == MAX_AT_ONCE - 1:  # Another one may wait for the place.
            self.notify()
