"""A place for one replica of a version, whichever process that is at the moment: loads it, restarts it, lets it go.

         load()                  loaded
stopped ────────▶ loading ─────────────▶ ready
                  ▲   │ failed             │ died
                  │   ▼                    ▼
                failed                  loading …        stop(), from anywhere: stopped, for good
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from llmos.core.clock import Clock
from llmos.core.errors import LLMOSError, ReplicaFailed
from llmos.deployments.replicas.replica import Replica
from llmos.deployments.replicas.status import ReplicaStatus, State
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Loading

_log = logging.getLogger(__name__)

MAX_STARTS = 4
"""Times that one load is tried while the process dies of it; then its callers get the error, and the next one tries."""

STABLE_SECONDS = 60
"""A replica that lived this long has earned an immediate restart."""

LONGEST_REST_SECONDS = 60
"""After a load that failed. Rests begin with a second and double; a caller's request ends any of them."""

Start = Callable[[EngineConfig, Callable[[Loading], None]], Awaitable[Replica]]
"""Starts a process with these options, and tells how far its load is."""

OnSlotEvent = Callable[[str, str, Mapping[str, Any]], None]
"""Callback for what happens to a slot: kind of event, reason in one sentence, data."""


class Slot:
    def __init__(
        self,
        version: str,
        id: int,
        config: EngineConfig,
        start: Start,
        *,
        backoff_seconds: Callable[[int], float],
        clock: Clock,
        on_event: OnSlotEvent,
        usual_load_seconds: float | None = None,
    ) -> None:
        """`id`: unique among the version's slots. `usual_load_seconds`: of the version, where it is known."""
        self.id, self.config = id, config
        self.restarts = 0
        self.state: State = "stopped"
        self.since: datetime = clock()
        self.error: str | None = None
        self.replica: Replica | None = None
        self.loading: asyncio.Task[Replica] | None = None
        self.load_seconds = usual_load_seconds
        """What its last load took; before that, what one usually takes."""
        self.report: asyncio.Task[None] | None = None
        """What is being said about the last death. Kept here, so that it isn't lost."""
        self.starts_at = 0.0
        """On the monotonic clock: when the next try of the load begins."""
        self.num_early_deaths = 0
        self._version, self._start, self._backoff_seconds, self._clock = version, start, backoff_seconds, clock
        self._on_event = on_event
        self._loads_since = 0.0
        self._loading: tuple[float, Loading] | None = None
        """What the process said last of its load, and when."""
        self._num_failures = 0
        self._rests_until = 0.0
        self._is_leaving = False

    @property
    def is_open(self) -> bool:
        """There is a replica that takes requests."""
        return self.replica is not None and self.replica.takes_requests and not self._is_leaving

    @property
    def is_rested(self) -> bool:
        """Its load failed, and it is time for another try without being asked."""
        return self.state == "failed" and self._now() >= self._rests_until

    @property
    def wait_seconds(self) -> float:
        """Until the next try of the load begins; 0 while it goes on."""
        return max(0.0, self.starts_at - self._now())

    def load(self) -> "asyncio.Task[Replica]":
        """Return the load that is under way, or that has given it the replica that is open; begin one where none is."""
        assert not self._is_leaving, "a slot that was stopped is not used again"
        if self.loading is None or (self.loading.done() and not self.is_open):
            self._enter("loading")
            self._plan_start()
            self.loading = asyncio.create_task(self._start_until_ready())
            self.loading.add_done_callback(_look_at_error)
        return self.loading

    async def stop(self, *, drain: bool) -> None:
        """Let what runs end, or not, and then the process. Called again without `drain`, it waits no longer."""
        was_leaving, self._is_leaving = self._is_leaving, True
        if self.loading is not None and not self.loading.done():
            if not was_leaving:  # Once: a second time would break off the killing of its process.
                self.loading.cancel()
            await asyncio.wait([self.loading])
        self._enter("stopped")
        if self.replica is not None:
            try:
                if drain:
                    await self.replica.drain()
            finally:
                # Also when the caller's timeout ends: no process stays behind.
                await self.replica.kill()
        if self.report is not None:
            # The one that died before is gone when that is told.
            await asyncio.wait([self.report])

    def status(self, tokens_in_flight: int) -> ReplicaStatus:
        replica = self.replica if self.replica is not None and self.replica.is_alive else None
        percent_loaded, seconds_left = self.progress()
        return ReplicaStatus(
            state="stuck" if replica and replica.is_overdue else self.state,
            since=self.since,
            pid=replica.pid if replica else None,
            ready=replica.ready if replica else None,
            load=replica.load if replica else None,
            tokens_in_flight=tokens_in_flight,
            restarts=self.restarts,
            error=self.error,
            percent_loaded=percent_loaded,
            seconds_left=seconds_left,
        )

    def progress(self) -> tuple[float | None, float | None]:
        """Return the percent that is loaded and the seconds that are left, as far as they are known."""
        if self.state != "loading":
            return None, None
        if self.wait_seconds:
            return 0.0, self.wait_seconds + (self.load_seconds or 0)
        if self._loading is not None:
            told_at, told = self._loading
            return told.percent, max(0.0, told.seconds_left - (self._now() - told_at))
        if not self.load_seconds:
            return None, None
        elapsed = self._now() - self._loads_since
        # What takes longer than the last time is nearly there for all that is known.
        return min(99.0, 100 * elapsed / self.load_seconds), max(0.0, self.load_seconds - elapsed)

    async def _start_until_ready(self) -> Replica:
        for num_tries_left in reversed(range(MAX_STARTS)):
            await asyncio.sleep(self.starts_at - self._now())
            self._loads_since, self._loading = self._now(), None
            try:
                replica = await self._start(self.config, self._on_loading)
            except ReplicaFailed as error:
                _log.warning("%s: %s", self._version, error.message)
                self.error = error.message
                self.num_early_deaths += 1
                self._plan_start()
                if not num_tries_left:
                    self._fail(error)
                    raise
            except LLMOSError as error:
                # The worker itself says what is wrong: trying again would say the same.
                self._fail(error)
                raise
            else:
                break
        self.replica = replica
        self.load_seconds, self._num_failures = self._now() - self._loads_since, 0
        self._enter("ready")
        # A callback comes before the requests of the replica get to know, so that a retry finds the restart under way.
        replica.lost.add_done_callback(lambda _: self._restart(replica))
        self._on_event("ready", f"Loaded in {self.load_seconds:.1f} seconds.", {"pid": replica.pid})
        return replica

    def _on_loading(self, loading: Loading) -> None:
        self._loading = self._now(), loading

    def _fail(self, error: LLMOSError) -> None:
        self._num_failures += 1
        self._rests_until = self._now() + min(LONGEST_REST_SECONDS, 2 ** (self._num_failures - 1))
        self._enter("failed", error.message)
        self._on_event("failed", error.message, {"code": error.code, "times": self._num_failures})

    def _restart(self, replica: Replica) -> None:
        if self.replica is not replica or self._is_leaving:
            return
        lived_seconds = (self._clock() - self.since).total_seconds()
        self.num_early_deaths = 1 if lived_seconds >= STABLE_SECONDS else self.num_early_deaths + 1
        self.restarts += 1
        self.replica = None
        self.load()
        self.report = asyncio.create_task(self._report_death(replica))

    async def _report_death(self, dead: Replica) -> None:
        how = await dead.how_it_ended()
        if self.state == "loading":
            self.error = f"The model's process {how}. It is started again."
        advice = " If this machine is only slow, raise LLMOS_STUCK_SECONDS." if dead.was_stuck else ""
        _log.warning("%s: The model's process %d %s. It is started again.%s", self._version, dead.pid, how, advice)
        self._on_event("died", f"The model's process {how}. It is started again.", {"pid": dead.pid})

    def _plan_start(self) -> None:
        self.starts_at = self._now() + self._backoff_seconds(self.num_early_deaths)

    def _enter(self, state: State, error: str | None = None) -> None:
        self.state, self.since, self.error = state, self._clock(), error

    @staticmethod
    def _now() -> float:
        # Not the loop's clock: any thread may ask for the status.
        return time.monotonic()


def _look_at_error(task: "asyncio.Task[Replica]") -> None:
    """Its callers may be gone, and a restart has none: that nobody looks at an error is no error."""
    if not task.cancelled():
        task.exception()
