"""Upkeep: work on what is kept that nobody waits for. It encrypts what an earlier version kept, and ends rotations."""

import asyncio
import logging
from collections.abc import Callable

from llmos.gateway.jobs.waking import Pause

_log = logging.getLogger(__name__)

EVERY_SECONDS = 600


class Upkeep:
    """Runs tasks in a thread, one after another, at the start of the server and every ten minutes."""

    def __init__(self, *tasks: Callable[[], object], pause: Pause = asyncio.sleep) -> None:
        self._tasks, self._pause = tasks, pause

    async def run(self) -> None:
        """Work until cancelled. A task that fails is logged and tried again the next time."""
        while True:
            for task in self._tasks:
                try:
                    await asyncio.to_thread(task)
                except Exception:
                    _log.exception("The upkeep of what is kept failed")
            await self._pause(EVERY_SECONDS)
