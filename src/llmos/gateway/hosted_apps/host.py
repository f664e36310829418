"""AppHost: keeps one deployed application running.

starting ──▶ ready ── a new version is deployed ──▶ starting beside the old one ──▶ ready; the old one drains
   ▲           │
   └─ backoff ◀┘ its process ends by itself
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from llmos.core.clock import utc_now
from llmos.core.errors import LLMOSError, Unavailable
from llmos.data.apps.deployments import AppDeployment
from llmos.gateway.hosted_apps.process import AppProcess, Continuing

_log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0
STEADY_SECONDS = 60.0
"""A process that lived for longer is started again at once."""

AFTER_CRASH_SECONDS = 5.0
"""After a crash, new runs come first: what the crash left is continued after this time."""
MAX_CONTINUED = 2
"""A run that ended its process so often when it was continued is left alone."""

Start = Callable[[AppDeployment, Continuing], Awaitable[AppProcess]]
"""start(deployment, continuing): returns the process when it serves."""


class AppHost:
    """Keeps a process of the wanted version. Belongs to the event loop's thread."""

    def __init__(self, wanted: AppDeployment, start: Start) -> None:
        self.wanted, self._start = wanted, start
        self.current: AppProcess | None = None
        """The process that answers."""
        self.reason: str | None = None
        """Why the wanted version isn't the one that answers."""
        self.num_restarts = 0
        self.since: datetime = utc_now()
        self._changed, self._ready, self._settled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._num_failures = 0
        self._num_ended_by: Counter[str] = Counter()
        """The number of times that the process ended while it continued a run, by the id of the run."""
        self._draining: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._keep(), name=f"app {wanted.app}")

    @property
    def state(self) -> str:
        """starting, ready or failed."""
        if self._serves_wanted:
            return "ready"
        return "failed" if self.reason is not None else "starting"

    def want(self, wanted: AppDeployment) -> None:
        """Serve another version."""
        if wanted == self.wanted:
            return
        if wanted.ref == self.wanted.ref and self._serves_wanted:
            self.wanted = wanted  # Somebody has deployed it again: there is nothing to wait for.
            return
        self.wanted, self.reason, self.since = wanted, None, utc_now()
        self._num_failures = self.num_restarts = 0
        self._changed.set()
        self._settled.clear()

    async def ready(self, seconds: float) -> AppProcess:
        """Return the process that answers, as soon as there is one. Raises Unavailable if there is none in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.current is None:
                    await self._ready.wait()
        if self.current is None:
            reason = self.reason or "It is still starting."
            raise Unavailable(f"The app {self.wanted.app} can't answer: {reason}", retry_after_seconds=1)
        return self.current

    async def settled(self, seconds: float) -> None:
        """Return when the wanted version answers, or has failed to start, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    async def drain(self) -> None:
        """Start nothing any more, and return when the last runs have ended and the processes with them.

        If this is cancelled, they end at once.
        """
        self._task.cancel()
        await asyncio.wait([self._task])
        self._retire()
        try:
            if self._draining:
                await asyncio.wait(self._draining)
        except asyncio.CancelledError:
            await self._end_draining()
            raise

    async def kill(self) -> None:
        """End the processes now."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if self.current is not None:
            await self.current.kill()
        await self._end_draining()

    async def _end_draining(self) -> None:
        draining = [*self._draining]
        for task in draining:
            task.cancel()
        await asyncio.gather(*draining, return_exceptions=True)

    @property
    def _serves_wanted(self) -> bool:
        return self.current is not None and self.current.ref == self.wanted.ref

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            if self._serves_wanted:
                await self._watch()
            else:
                await self._start_wanted()

    async def _start_wanted(self) -> None:
        wanted = self.wanted
        # A run may be why the process before died. New runs come first then.
        delay = max(self._backoff_seconds, AFTER_CRASH_SECONDS) if self._num_failures else 0.0
        given_up = [run for run, count in self._num_ended_by.items() if count >= MAX_CONTINUED]
        try:
            started = await self._start(wanted, Continuing(after_seconds=delay, given_up=given_up))
        except LLMOSError as error:
            await self._failed(wanted, error.message)
        except Exception as error:
            _log.exception("The app %s can't be started", wanted.app)
            await self._failed(wanted, f"{wanted.ref} can't be started: {type(error).__name__}: {error}")
        else:
            self._retire()
            self.current, self.reason, self.since = started, None, utc_now()
            self._ready.set()
            if wanted == self.wanted:
                self._settled.set()

    async def _failed(self, wanted: AppDeployment, reason: str) -> None:
        self._num_failures += 1
        if wanted == self.wanted:
            self.reason, self.since = reason, utc_now()
            self._settled.set()
        await self._back_off()

    async def _watch(self) -> None:
        """Return when another version is wanted, or the process has ended by itself."""
        process, began = self.current, time.monotonic()
        assert process is not None
        ended, changed = asyncio.ensure_future(process.wait()), asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([ended, changed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            ended.cancel()
        if not ended.done() or ended.cancelled():
            return
        status = ended.result()
        self._lose(process)
        self._num_failures = 0 if time.monotonic() - began > STEADY_SECONDS else self._num_failures + 1
        self.num_restarts += 1
        self.reason, self.since = f"Its process ended {_how(status)}. Its log may say why.", utc_now()
        _log.warning("The app %s: %s", self.wanted.app, self.reason)
        await process.kill()
        self._num_ended_by.update(process.left_runs)
        await self._back_off()

    async def _back_off(self) -> None:
        """Wait, unless another version is wanted meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff_seconds):
                await self._changed.wait()

    @property
    def _backoff_seconds(self) -> float:
        return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** max(0, self._num_failures - 1))

    def _lose(self, process: AppProcess) -> None:
        if self.current is process:
            self.current = None
            self._ready.clear()

    def _retire(self) -> None:
        """Let the process that answers end with its last run."""
        if (process := self.current) is not None:
            self._lose(process)
            task = asyncio.create_task(process.drain(), name=f"drain {process.ref}")
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)


def _how(status: int) -> str:
    return f"with the status {status}" if status >= 0 else f"by the signal {-status}"
