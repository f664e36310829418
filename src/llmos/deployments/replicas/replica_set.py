"""The replicas of one version: as many as are wanted, and which of them has a request.

Wanted is what scale() said last; a request to a version that has none wants one. A replica that is wanted no longer
leaves at once for new requests, and ends with its last answer. One whose configuration has changed leaves when another
can take its place.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from llmos.core.clock import Clock
from llmos.core.errors import Unavailable
from llmos.deployments.replicas.load_balancing import OpenRequest, choose_replica
from llmos.deployments.replicas.replica import Replica
from llmos.deployments.replicas.slot import Slot, Start
from llmos.deployments.replicas.status import VersionStatus, of_version
from llmos.engine.config import EngineConfig

MAX_WAIT_SECONDS = 5
"""A restart that is further away than this is not waited for: callers are told when to come back."""

RETRY_SECONDS = 5
"""When to come back to a load of which nobody knows how long it takes."""

OnEvent = Callable[[str, str, str, Mapping[str, Any]], None]
"""Callback for what happens to replicas: version, kind of event, reason, data."""


class ReplicaSet:
    def __init__(
        self,
        version: str,
        config: EngineConfig,
        start: Start,
        *,
        backoff_seconds: Callable[[int], float],
        clock: Clock,
        on_event: OnEvent,
    ) -> None:
        self.config = config
        """Of the replicas that are started from now on."""
        self.start = start
        """Starts a process. Set anew with every request: the files of a model that failed may have been mended."""
        self.slots: list[Slot] = []
        self.num_wanted = 0
        self.last_asked_at = time.monotonic()
        """When the last request came or ended, on the monotonic clock."""
        self._version, self._backoff_seconds, self._clock = version, backoff_seconds, clock
        self._on_event = on_event
        self._open_requests: dict[OpenRequest, Replica | None] = {}
        """The open requests, and who has each."""
        self._leaving: dict[Slot, asyncio.Task[None]] = {}
        self._slot_ids = count(1)
        self._num_waiting = 0
        """Callers that a replica is being loaded for."""
        self._load_seconds: float | None = None
        self._num_restarts = 0
        self._num_stops = 0
        self._stopped_since = clock()

    @property
    def num_open(self) -> int:
        """The choices of all open requests, those that wait for a replica too."""
        return sum(open_request.num_choices for open_request in self._open_requests)

    @property
    def is_busy(self) -> bool:
        return bool(self._open_requests) or self._num_waiting > 0

    @property
    def idle_seconds(self) -> float:
        """Since the last request came or ended, or a replica was loaded."""
        return 0.0 if self.is_busy else self._now() - self.last_asked_at

    @property
    def tokens_in_flight(self) -> int:
        return sum(open_request.tokens for open_request in self._open_requests)

    @contextmanager
    def holding(self, open_request: OpenRequest) -> Iterator[None]:
        """While the body runs, the request is open."""
        self._open_requests[open_request] = None
        self._touch()
        try:
            yield
        finally:
            del self._open_requests[open_request]
            self._touch()

    async def replica(self, open_request: OpenRequest | None = None, *, wait_seconds: float | None = None) -> Replica:
        """Return the replica that should have the request, loading one where none is there.

        Raises what is wrong with the model, ReplicaFailed where its process keeps dying, Unavailable where it is being
        stopped, or not there after `wait_seconds`.
        """
        self._touch()
        self._num_waiting += 1
        try:
            replica = self._best(open_request) or await self._loaded(
                None if wait_seconds is None else self._now() + wait_seconds
            )
        finally:
            self._num_waiting -= 1
        if open_request is not None:
            self._open_requests[open_request] = replica
        return replica

    def scale(self, num_wanted: int, config: EngineConfig | None = None) -> None:
        """Want so many replicas from now on. Returns at once."""
        self.num_wanted, self.config = num_wanted, config or self.config
        self._converge()

    def tend(self) -> None:
        """Try failed loads again whose rest is over."""
        for slot in self.slots:
            if slot.is_rested:
                slot.load()

    async def stop(self, *, drain: bool) -> None:
        """Want none until one is asked for. Returns when all processes are gone."""
        self._num_stops += 1
        self.num_wanted = 0
        earlier = [*self._leaving]
        for slot in [*self.slots]:
            self._dismiss(slot, drain=drain)
        if not drain:
            # They were told to let what runs end: now they may not.
            await asyncio.gather(*(slot.stop(drain=False) for slot in earlier))
        await asyncio.gather(*self._leaving.values())

    def status(self) -> VersionStatus:
        """Any thread may ask."""
        return of_version(
            self._version,
            [slot.status(self._tokens_of(slot.replica)) for slot in [*self.slots]],
            num_wanted=self.num_wanted,
            num_leaving=len(self._leaving),
            restarts=self._num_restarts + sum(slot.restarts for slot in [*self.slots]),
            stopped_since=self._stopped_since,
        )

    def _best(self, open_request: OpenRequest | None) -> Replica | None:
        slots = [slot for slot in self.slots if slot.is_open]
        # One that may be stuck gets no more while there are others.
        slots = [slot for slot in slots if slot.replica and not slot.replica.is_overdue] or slots
        if not slots:
            return None
        index = choose_replica(
            [self._tokens_of(slot.replica) for slot in slots],
            [str(slot.id) for slot in slots],
            open_request.caller if open_request else "",
        )
        return slots[index].replica

    def _tokens_of(self, replica: Replica | None) -> int:
        # A copy: requests come and go while another thread asks.
        open_requests = [*self._open_requests.items()] if replica else []
        return sum(open_request.tokens for open_request, its in open_requests if its is replica)

    async def _loaded(self, deadline: float | None) -> Replica:
        """Load, and return the first replica that is there."""
        num_stops = self._num_stops
        while True:
            replica = await self._wait_for_one(deadline)
            if replica is not None and not replica.is_stopping:
                return replica  # Whether or not it still lives: who asks it learns what became of it.
            if num_stops != self._num_stops:
                raise Unavailable("The model is being stopped. Try again in a moment.", retry_after_seconds=1)

    async def _wait_for_one(self, deadline: float | None) -> Replica | None:
        """Return the first replica that is loaded from now on; None where what was waited for is wanted no longer."""
        if not self.num_wanted:
            self.num_wanted = 1
        self._converge()
        slots = {slot.load(): slot for slot in self.slots}
        far = min(slots.values(), key=lambda slot: slot.wait_seconds)
        if far.wait_seconds > MAX_WAIT_SECONDS:
            raise Unavailable(
                f"The model's process died {far.num_early_deaths} times in a row; it is started again in "
                f"{far.wait_seconds:.0f} seconds. Its last words are in the server's log.",
                retry_after_seconds=far.wait_seconds,
            )
        pending, error = set(slots), None
        while pending:
            # Not awaited themselves: one caller that goes away must not stop what the others wait for.
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

    def _still_loading(self) -> Unavailable:
        status = self.status()
        seconds = RETRY_SECONDS if status.seconds_left is None else max(1, round(status.seconds_left))
        so_far = "" if status.percent_loaded is None else f", {status.percent_loaded:.0f} % so far"
        return Unavailable(
            f"{self._version} is being loaded{so_far}. Try again in about {seconds} second{'s' * (seconds != 1)}.",
            retry_after_seconds=seconds,
        )

    def _converge(self) -> None:
        """Begin and dismiss replicas so that there are as many as are wanted."""
        current = [slot for slot in self.slots if slot.config == self.config]
        for _ in range(self.num_wanted - len(current)):
            current.append(self._begin())
        surplus = len(current) - self.num_wanted
        # Those go that do the least: what isn't loaded, then who has the fewest tokens in flight, then the youngest.
        useless_first = sorted(
            current,
            key=lambda slot: (slot.is_open, slot.state == "loading", self._tokens_of(slot.replica), -slot.id),
        )
        for slot in useless_first[: max(0, surplus)]:
            self._dismiss(slot)
        outdated = [slot for slot in self.slots if slot.config != self.config]
        num_open = sum(slot.is_open for slot in current)
        for slot in outdated:
            if not slot.is_open or num_open >= self.num_wanted:
                self._dismiss(slot)

    def _begin(self) -> Slot:
        slot = Slot(
            self._version,
            next(self._slot_ids),
            self.config,
            lambda config, on_loading: self.start(config, on_loading),
            backoff_seconds=self._backoff_seconds,
            clock=self._clock,
            on_event=self._on_slot_event,
            usual_load_seconds=self._load_seconds,
        )
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
        self.last_asked_at = self._now()

    @staticmethod
    def _now() -> float:
        return time.monotonic()
