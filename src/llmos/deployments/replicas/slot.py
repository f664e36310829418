"""Slot: one place for a replica of a version, whichever process fills it. Loads the replica, restarts and stops it.

            load()            the model is loaded
stopped ─────────────▶ loading ─────────────▶ ready
                        ▲   │                   │
 load(), or retry is due│   │ it can't be       │ the process died, or was stuck
                        │   ▼ loaded            ▼
                       failed                 loading …

A replica for which no node has room is pending instead of failed, and is tried again every second.
stop() leads from any state to stopped, for good.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmos.core.backoff import doubling
from llmos.core.clock import Clock
from llmos.core.errors import LLMOSError, NoNode, ReplicaFailed
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.deployments.replicas.replica import OnLoading, Replica
from llmos.deployments.replicas.status import ReplicaState, ReplicaStatus
from llmos.engine.messages import Loading

_log = logging.getLogger(__name__)

MAX_STARTS = 4
"""Attempts of one load whose process dies. After them its callers get the error; the next request loads again."""

STABLE_SECONDS = 60
"""A replica that lived this long is restarted at once when it dies."""

PENDING_SECONDS = 1.0
"""Pause before a node with room is looked for again."""

MAX_RETRY_SECONDS = 60
"""Longest pause after a failed load. Pauses begin at one second and double; a request ends any of them."""

Start = Callable[[ReplicaSettings, OnLoading], Awaitable[Replica]]
"""Starts a process with these settings and reports the progress of its load."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotContext:
    """The settings that the slots of one version share."""

    version: str
    backoff_seconds: Callable[[int], float]
    """Returns the pause before a start, by the number of early deaths in a row."""
    clock: Clock
    on_event: Callable[[str, str, Mapping[str, Any]], None]
    """Called for what happens to a replica: kind of event (ready, died, failed, pending), reason, data."""


class Slot:
    def __init__(self, id: int, settings: ReplicaSettings, start: Start, context: SlotContext) -> None:
        """`id`: unique among the slots that the version ever had, rising."""
        self.id, self.settings = id, settings
        self.restarts = 0
        self.state: ReplicaState = "stopped"
        self.since: datetime = context.clock()
        self.error: str | None = None
        self.replica: Replica | None = None
        self.load_task: asyncio.Task[Replica] | None = None
        """The last load."""
        self.load_started_at = 0.0
        """The start of the load's last attempt, on the monotonic clock."""
        self.load_seconds: float | None = None
        """Duration of the last load. Before the first one: the usual duration, if that is known."""
        self.starts_at = 0.0
        """The start of the load's next attempt, on the monotonic clock."""
        self.retry_at = 0.0
        """The time at which a failed load is retried without a request, on the monotonic clock."""
        self.num_early_deaths = 0
        self.death_report: asyncio.Task[None] | None = None
        """Reports the last death. Kept here, so that the task isn't garbage-collected."""
        self._start, self._context = start, context
        self._progress: tuple[float, Loading] | None = None
        """The last progress that the process has reported, and when."""
        self._num_failures = 0
        self._pending_reason = ""
        """Why it was pending last. Empty once it was loaded."""
        self._is_leaving = False

    @property
    def is_open(self) -> bool:
        """True while it has a replica that accepts requests."""
        return self.replica is not None and self.replica.accepts_requests and not self._is_leaving

    @property
    def is_retry_due(self) -> bool:
        return self.state in ("failed", "pending") and self._now() >= self.retry_at

    @property
    def wait_seconds(self) -> float:
        """Seconds until the next attempt of the load begins; 0 while one is running."""
        return max(0.0, self.starts_at - self._now())

    def load(self) -> "asyncio.Task[Replica]":
        """Return the load that is running, or the one that gave the open replica; start one if there is neither."""
        assert not self._is_leaving, "a slot that was stopped is not used again"
        if self.load_task is None or (self.load_task.done() and not self.is_open):
            self._enter("loading")
            self._schedule_start()
            self.load_task = asyncio.create_task(self._start_until_ready())
            self.load_task.add_done_callback(_retrieve_exception)
        return self.load_task

    async def stop(self, *, drain: bool) -> None:
        """Stop the process, after its running requests if `drain`. A second call without `drain` ends the wait."""
        was_leaving, self._is_leaving = self._is_leaving, True
        if self.load_task is not None and not self.load_task.done():
            if not was_leaving:  # Cancelling a second time would interrupt the killing of its process.
                self.load_task.cancel()
            await asyncio.wait([self.load_task])
        self._enter("stopped")
        if self.replica is not None:
            try:
                if drain:
                    await self.replica.drain()
            finally:
                # Also when the caller is cancelled: no process stays behind.
                await self.replica.kill()
        if self.death_report is not None:
            # The process that died before is gone once its death is reported.
            await asyncio.wait([self.death_report])

    def status(self, tokens_in_flight: int) -> ReplicaStatus:
        replica = self.replica if self.replica is not None and self.replica.is_alive else None
        percent_loaded, seconds_left = self.load_progress()
        return ReplicaStatus(
            state="stuck" if replica and replica.is_overdue else self.state,
            since=self.since,
            pid=replica.pid if replica else None,
            node=replica.node if replica else None,
            ready=replica.ready if replica else None,
            load=replica.load if replica else None,
            tokens_in_flight=tokens_in_flight,
            restarts=self.restarts,
            error=self.error or (replica.warning if replica else None),
            percent_loaded=percent_loaded,
            seconds_left=seconds_left,
        )

    def load_progress(self) -> tuple[float | None, float | None]:
        """Return the percent that is loaded and the seconds that are left, each None if it isn't known."""
        if self.state != "loading":
            return None, None
        if self.wait_seconds:
            return 0.0, self.wait_seconds + (self.load_seconds or 0)
        if self._progress is not None:
            reported_at, progress = self._progress
            return progress.percent, max(0.0, progress.seconds_left - (self._now() - reported_at))
        if not self.load_seconds:
            return None, None
        elapsed = self._now() - self.load_started_at
        # A load that takes longer than the last one stays at 99 %.
        return min(99.0, 100 * elapsed / self.load_seconds), max(0.0, self.load_seconds - elapsed)

    async def _start_until_ready(self) -> Replica:
        for num_attempts_left in reversed(range(MAX_STARTS)):
            await asyncio.sleep(self.starts_at - self._now())
            self.load_started_at, self._progress = self._now(), None
            try:
                replica = await self._start(self.settings, self._on_loading)
            except ReplicaFailed as error:
                _log.warning("%s: %s", self._context.version, error.message)
                self.error = error.message
                self.num_early_deaths += 1
                self._schedule_start()
                if not num_attempts_left:
                    self._fail(error)
                    raise
            except NoNode as error:
                self._wait_for_room(error)
                raise
            except LLMOSError as error:
                # The worker itself says what is wrong: another attempt would end the same.
                self._fail(error)
                raise
            else:
                break
        self.replica, self._pending_reason = replica, ""
        self.load_seconds, self._num_failures = self._now() - self.load_started_at, 0
        self._enter("ready")
        # Callbacks run before the replica's requests learn that it is lost, so a retry finds the restart running.
        replica.lost.add_done_callback(lambda _: self._restart(replica))
        where = f" on the node {replica.node}" if replica.node else ""
        self._context.on_event("ready", f"Loaded in {self.load_seconds:.1f} seconds{where}.", facts_of(replica))
        return replica

    def _on_loading(self, progress: Loading) -> None:
        self._progress = self._now(), progress

    def _fail(self, error: LLMOSError) -> None:
        self._num_failures += 1
        self.retry_at = self._now() + doubling(self._num_failures, first=1.0, longest=MAX_RETRY_SECONDS)
        self._enter("failed", error.message)
        self._context.on_event("failed", error.message, {"code": error.code, "times": self._num_failures})

    def _wait_for_room(self, error: NoNode) -> None:
        self.retry_at = self._now() + PENDING_SECONDS
        if self._pending_reason != error.message:
            self._pending_reason = error.message
            self._context.on_event("pending", error.message, {})
        self._enter("pending", error.message)

    def _restart(self, replica: Replica) -> None:
        if self.replica is not replica or self._is_leaving:
            return
        lived_seconds = (self._context.clock() - self.since).total_seconds()
        self.num_early_deaths = 1 if lived_seconds >= STABLE_SECONDS else self.num_early_deaths + 1
        self.restarts += 1
        self.replica = None
        self.load()
        self.death_report = asyncio.create_task(self._report_death(replica))

    async def _report_death(self, dead: Replica) -> None:
        how = await dead.describe_exit()
        reason = f"The model's process {how}. It is being restarted."
        if self.state == "loading":
            self.error = reason
        advice = " If this machine is only slow, raise LLMOS_STUCK_SECONDS." if dead.was_stuck else ""
        _log.warning(
            "%s: The model's process %d %s. It is being restarted.%s", self._context.version, dead.pid, how, advice
        )
        self._context.on_event("died", reason, facts_of(dead))

    def _schedule_start(self) -> None:
        self.starts_at = self._now() + self._context.backoff_seconds(self.num_early_deaths)

    def _enter(self, state: ReplicaState, error: str | None = None) -> None:
        self.state, self.since, self.error = state, self._context.clock(), error

    @staticmethod
    def _now() -> float:
        # Not the event loop's clock: any thread may ask for the status.
        return time.monotonic()


def facts_of(replica: Replica) -> Mapping[str, Any]:
    """Return what a history says of a replica: its process, and the node that it is on."""
    return {"pid": replica.pid, **({"node": replica.node} if replica.node else {})}


def _retrieve_exception(task: "asyncio.Task[Replica]") -> None:
    """Mark the exception as seen: a restart has no caller, and asyncio would log the exception as forgotten."""
    if not task.cancelled():
        task.exception()
