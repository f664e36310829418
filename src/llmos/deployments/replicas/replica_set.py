"""ReplicaSet: the replicas of one version. Keeps as many as are wanted, and chooses which one gets a request.

scale() sets how many are wanted; a request to a version that has none wants one. A replica that is no longer wanted
accepts no new requests and stops after its last answer. One whose settings have changed is replaced once its
successor is ready.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from llmos.core.clock import Clock
from llmos.core.errors import Unavailable
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.deployments.placing.split_placement import runs_on
from llmos.deployments.replicas.load_balancing import OpenRequest, choose_replica
from llmos.deployments.replicas.replica import Replica
from llmos.deployments.replicas.slot import Slot, SlotContext, Start
from llmos.deployments.replicas.status import VersionStatus, summarize

MAX_WAIT_SECONDS = 5
"""Requests don't wait for a restart that is further away than this; their error says when to retry."""

RETRY_SECONDS = 5
"""The delay that callers are told to retry after while a load of unknown length is running."""

OnEvent = Callable[[str, str, str, Mapping[str, Any]], None]
"""Callback for what happens to replicas: version, kind of event (ready, died, failed, pending), reason, data."""


class ReplicaSet:
    def __init__(
        self,
        version: str,
        settings: ReplicaSettings,
        start: Start,
        *,
        backoff_seconds: Callable[[int], float],
        clock: Clock,
        on_event: OnEvent,
    ) -> None:
        self.settings = settings
        """The settings of replicas that are started from now on."""
        self.start = start
        """Starts a process. Replaced with every request: the files of a model that failed may have been repaired."""
        self.slots: list[Slot] = []
        self.num_wanted = 0
        self.last_used_at = time.monotonic()
        """The time at which a request last began or ended, or a replica was loaded, on the monotonic clock."""
        self._version, self._clock, self._on_event = version, clock, on_event
        self._context = SlotContext(
            version=version, backoff_seconds=backoff_seconds, clock=clock, on_event=self._on_slot_event
        )
        self._open_requests: dict[OpenRequest, Replica | None] = {}
        """Each with the replica that has it."""
        self._leaving: dict[Slot, asyncio.Task[None]] = {}
        """Slots that finish their last requests, each with the task that stops it."""
        self._slot_ids = count(1)
        self._num_waiting = 0
        """Requests that wait for a replica to load."""
        self._load_seconds: float | None = None
        self._num_restarts = 0
        """Restarts of slots that are gone."""
        self._num_stops = 0
        self._stopped_since = clock()

    @property
    def num_open(self) -> int:
        """Choices of all open requests, including those that wait for a replica."""
        return sum(request.num_choices for request in self._open_requests)

    @property
    def is_busy(self) -> bool:
        return bool(self._open_requests) or self._num_waiting > 0

    @property
    def idle_seconds(self) -> float:
        """Seconds since it was last used; 0 while it is busy."""
        return 0.0 if self.is_busy else self._now() - self.last_used_at

    @property
    def tokens_in_flight(self) -> int:
        return sum(request.tokens for request in self._open_requests)

    def holding(self, request: OpenRequest) -> AbstractContextManager[None]:
        """Count the request as open while the body runs."""
        return _Holding(self, request)

    def add_open(self, request: OpenRequest) -> None:
        self._open_requests[request] = None
        self._touch()

    def remove_open(self, request: OpenRequest) -> None:
        del self._open_requests[request]
        self._touch()

    async def replica(self, request: OpenRequest | None = None, *, wait_seconds: float | None = None) -> Replica:
        """Return the replica that gets the request, loading one if there is none.

        Raises what is wrong with the model, ReplicaFailed if its process keeps dying, and Unavailable if the version is
        being stopped or is not loaded within `wait_seconds`.
        """
        self._touch()
        self._num_waiting += 1
        try:
            replica = self._choose(request) or await self._load(
                None if wait_seconds is None else self._now() + wait_seconds
            )
        finally:
            self._num_waiting -= 1
        if request is not None:
            self._open_requests[request] = replica
        return replica

    def scale(self, num_wanted: int, settings: ReplicaSettings | None = None) -> None:
        """Set the number of replicas, and their settings. Returns at once."""
        self.num_wanted, self.settings = num_wanted, settings or self.settings
        self._converge()

    def retry_failed(self) -> None:
        """Try failed loads again that are due."""
        for slot in self.slots:
            if slot.is_retry_due:
                slot.load()

    def vacate(self, node: str) -> None:
        """Replace the replicas on a node, which gets no new ones. They finish their running requests."""
        for slot in [slot for slot in self.slots if slot.replica is not None and runs_on(slot.replica.node, node)]:
            self._dismiss(slot)
        self._converge()

    def retry_pending(self) -> None:
        """Look for room again, now."""
        for slot in self.slots:
            if slot.state == "pending":
                slot.load()

    async def stop(self, *, drain: bool) -> None:
        """Stop all replicas until a request comes. Returns when all processes are gone."""
        self._num_stops += 1
        self.num_wanted = 0
        leaving_before = [*self._leaving]
        for slot in [*self.slots]:
            self._dismiss(slot, drain=drain)
        if not drain:
            await asyncio.gather(*(slot.stop(drain=False) for slot in leaving_before))
        await self.wait_until_gone()

    async def wait_until_gone(self) -> None:
        """Return when the replicas that are leaving have stopped."""
        await asyncio.gather(*self._leaving.values())

    def status(self) -> VersionStatus:
        """Any thread may call this."""
        return summarize(
            self._version,
            [slot.status(self._tokens_in_flight(slot.replica)) for slot in [*self.slots]],
            num_wanted=self.num_wanted,
            num_leaving=len(self._leaving),
            restarts=self._num_restarts + sum(slot.restarts for slot in [*self.slots]),
            stopped_since=self._stopped_since,
        )

    def _choose(self, request: OpenRequest | None) -> Replica | None:
        slots = [slot for slot in self.slots if slot.is_open]
        if len(slots) > 1:
            # A replica that may be stuck gets no more requests while there are others.
            slots = [slot for slot in slots if slot.replica and not slot.replica.is_overdue] or slots
        if len(slots) < 2:
            return slots[0].replica if slots else None
        index = choose_replica(
            [self._tokens_in_flight(slot.replica) for slot in slots],
            [str(slot.id) for slot in slots],
            request.caller if request else "",
        )
        return slots[index].replica

    def _tokens_in_flight(self, replica: Replica | None) -> int:
        # Works on a copy: requests come and go while another thread asks for the status.
        requests = [*self._open_requests.items()] if replica else []
        return sum(request.tokens for request, its_replica in requests if its_replica is replica)

    async def _load(self, deadline: float | None) -> Replica:
        """Load replicas and return the first that is ready."""
        num_stops = self._num_stops
        while True:
            replica = await self._first_loaded(deadline)
            if replica is not None and not replica.is_stopping:
                return replica  # It may have died meanwhile: the request then gets the reason.
            if num_stops != self._num_stops:
                raise Unavailable("The model is being stopped. Try again in a moment.", retry_after_seconds=1)

    async def _first_loaded(self, deadline: float | None) -> Replica | None:
        """Return the first replica that gets ready from now on; None if all loads were cancelled."""
        if not self.num_wanted:
            self.num_wanted = 1
        self._converge()
        slots = {slot.load(): slot for slot in self.slots}
        self._refuse_long_backoff(min(slots.values(), key=lambda slot: slot.wait_seconds))
        pending, error = set(slots), None
        while pending:
            # The loads themselves are not awaited: a caller that is cancelled must not cancel what others wait for.
            timeout = None if deadline is None else max(0.0, deadline - self._now())
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise self._still_loading()
            for task in done:
                if not task.cancelled() and (error := task.exception()) is None:
                    return task.result()
        if error is not None:
            raise error
        return None

    def _refuse_long_backoff(self, next_slot: Slot) -> None:
        if next_slot.wait_seconds > MAX_WAIT_SECONDS:
            raise Unavailable(
                f"The model's process died {next_slot.num_early_deaths} times in a row; it is restarted in "
                f"{next_slot.wait_seconds:.0f} seconds. The server's log has its last output.",
                retry_after_seconds=next_slot.wait_seconds,
            )

    def _still_loading(self) -> Unavailable:
        status = self.status()
        seconds = RETRY_SECONDS if status.seconds_left is None else max(1, round(status.seconds_left))
        so_far = "" if status.percent_loaded is None else f", {status.percent_loaded:.0f} % so far"
        return Unavailable(
            f"{self._version} is being loaded{so_far}. Try again in about {seconds} second{'s' * (seconds != 1)}.",
            retry_after_seconds=seconds,
        )

    def _converge(self) -> None:
        """Start and dismiss replicas until there are as many as are wanted, of the wanted settings."""
        current = [slot for slot in self.slots if slot.settings == self.settings]
        for _ in range(self.num_wanted - len(current)):
            current.append(self._add_slot())
        num_surplus = max(0, len(current) - self.num_wanted)
        for slot in sorted(current, key=self._usefulness)[:num_surplus]:
            self._dismiss(slot)
        num_open = sum(slot.is_open for slot in current)
        for slot in [slot for slot in self.slots if slot.settings != self.settings]:
            if not slot.is_open or num_open >= self.num_wanted:
                self._dismiss(slot)

    def _usefulness(self, slot: Slot) -> tuple[bool, bool, int, int]:
        """Sort key: slots that aren't loaded first, then those with the fewest tokens in flight, then the newest."""
        return slot.is_open, slot.state == "loading", self._tokens_in_flight(slot.replica), -slot.id

    def _add_slot(self) -> Slot:
        # self.start is looked up when the slot starts, not now: requests replace it.
        slot = Slot(
            next(self._slot_ids),
            self.settings,
            lambda settings, on_loading: self.start(settings, on_loading),
            self._context,
        )
        slot.load_seconds = self._load_seconds
        self.slots.append(slot)
        slot.load()
        return slot

    def _dismiss(self, slot: Slot, *, drain: bool = True) -> None:
        self.slots.remove(slot)
        self._num_restarts += slot.restarts
        if not self.slots:
            self._stopped_since = self._clock()
        task = self._leaving[slot] = asyncio.create_task(slot.stop(drain=drain))
        task.add_done_callback(lambda _: self._leaving.pop(slot, None))

    def _on_slot_event(self, kind: str, reason: str, data: Mapping[str, Any]) -> None:
        if kind == "ready":
            self._touch()
            self._load_seconds = min(slot.load_seconds or 0 for slot in self.slots if slot.state == "ready")
            self._converge()
        self._on_event(self._version, kind, reason, data)

    def _touch(self) -> None:
        self.last_used_at = self._now()

    @staticmethod
    def _now() -> float:
        return time.monotonic()


class _Holding:
    """See ReplicaSet.holding(). Written out, since every call enters it."""

    __slots__ = ("_replica_set", "_request")

    def __init__(self, replica_set: ReplicaSet, request: OpenRequest) -> None:
        self._replica_set, self._request = replica_set, request

    def __enter__(self) -> None:
        self._replica_set.add_open(self._request)

    def __exit__(self, *_: object) -> None:
        self._replica_set.remove_open(self._request)
