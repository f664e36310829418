"""Periodic: work that the serving process does again and again in a thread, and that nobody waits for."""

import asyncio
import logging
from collections.abc import Callable

from llmos.gateway.jobs.waking import Pause

_log = logging.getLogger(__name__)


class Periodic:
    """Runs tasks in a thread, one after another, at the start of the server and every `seconds`.

    `failure`: the message that is logged for a task that raises.
    """

    def __init__(
        self, *tasks: Callable[[], object], seconds: float, failure: str, pause: Pause = asyncio.sleep
    ) -> None:
        self._tasks, self._seconds, self._failure, self._pause = tasks, seconds, failure, pause

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.run_once()
            await self._pause(self._seconds)

    async def run_once(self) -> None:
        """Run each task once. A task that fails is logged and tried again the next time."""
        for task in self._tasks:
            try:
                await asyncio.to_thread(task)
            except Exception:  # For example, the database is unavailable for a while, or the disk is full.
                _log.exception(self._failure)
