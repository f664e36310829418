"""Pool: the versions that run on this machine, each in its own replicas.

Versions are loaded on demand or kept loaded; replicas are restarted when they die or are stuck.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmos.core.backoff import doubling
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import NoNode, ReplicaFailed, Unavailable
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import PlacementRequest, Placer, ReplicaSettings
from llmos.deployments.replicas.load_balancing import OpenRequest
from llmos.deployments.replicas.replica import OnLoading, Replica
from llmos.deployments.replicas.replica_set import OnEvent, ReplicaSet
from llmos.deployments.replicas.slot import PENDING_SECONDS
from llmos.deployments.replicas.status import VersionStatus
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.engine.config import EngineConfig
from llmos.engine.messages import (
    Delta,
    Embed,
    Embedded,
    Event,
    Generate,
    Loading,
    Rate,
    Rated,
    Ready,
    Started,
    Tokenize,
    Tokenized,
)

T = TypeVar("T")


def default_backoff_seconds(num_deaths: int) -> float:
    """Return the pause before a start after this many early deaths in a row: 0, 0, 0.5, 1, 2, 4, ... 30 seconds."""
    return 0.0 if num_deaths <= 1 else doubling(num_deaths - 1, first=0.5, longest=30.0)


def ignore_event(version: str, kind: str, reason: str, data: Mapping[str, Any]) -> None:
    """Do nothing: the default callback."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The demand of requests on a version at the moment."""

    num_wanted: int = 0
    """Number of replicas that are wanted."""
    num_open: int = 0
    """Choices that run or wait."""
    tokens_in_flight: int = 0
    idle_seconds: float = 0.0
    """Seconds since the last request; 0 while there is one."""


class Pool:
    """Answers requests for any version whose files are given, and survives the death of every replica."""

    def __init__(
        self,
        *,
        config: EngineConfig | None = None,
        placer: Placer | None = None,
        timeouts: ReplicaTimeouts | None = None,
        wait_seconds: float | None = None,
        backoff_seconds: Callable[[int], float] = default_backoff_seconds,
        clock: Clock = utc_now,
        check: Callable[[str], None] = lambda version_key: None,
    ) -> None:
        """`config`: of every engine, unless scale() sets another. `placer`: starts workers; by default on this machine.
        `wait_seconds`: how long a request waits for a load; None: until it ends. `check`:
        called in a thread before each load; raises if the version must not be loaded."""
        self._settings = ReplicaSettings(config=config or EngineConfig())
        self._placer = placer or LocalPlacer()
        self.timeouts = timeouts or ReplicaTimeouts()
        """The timeouts of replicas that are started from now on."""
        self._wait_seconds = wait_seconds
        self._backoff_seconds = backoff_seconds
        self._clock = clock
        self.replica_sets: dict[str, ReplicaSet] = {}
        """One for each version that was ever asked for, by reference."""
        self._check = check
        self._is_closing = False
        self.on_event: OnEvent = ignore_event
        """Called in the event loop for what happens to replicas: ready, died, failed."""

    async def ensure(self, version_key: str, files: Mapping[str, Path], *, wait: bool = False) -> Ready:
        """Return when a replica of the version is loaded; callers at the same time share one load.

        `wait`: wait however long that takes. Raises what is wrong with the model, ReplicaFailed if its process keeps
        dying, or Unavailable.
        """
        wait_seconds = None if wait else self._wait_seconds
        while True:
            try:
                replica = await self._replica_set(version_key, files).replica(wait_seconds=wait_seconds)
            except NoNode:
                if not wait:
                    raise
                await asyncio.sleep(PENDING_SECONDS)
            else:
                assert replica.ready is not None
                return replica.ready

    async def generate(
        self, version_key: str, files: Mapping[str, Path], request: Generate
    ) -> AsyncGenerator[Event, None]:
        """Load the version if it isn't, then yield Started once, Rated once for a request with prompt_logprobs, and
        Deltas until every choice has its finish_reason.

        A request whose replica dies before the first token is tried once more, on another replica if there is one;
        after that it gets ReplicaFailed. Whatever is wrong with the request is raised. Closing the generator aborts
        the request.
        """
        replica_set, open_request = self._replica_set(version_key, files), OpenRequest(request)
        has_token = has_failed = False
        sent: set[type[Event]] = set()
        with replica_set.holding(open_request):
            while True:
                replica = await replica_set.replica(open_request, wait_seconds=self._wait_seconds)
                try:
                    async with aclosing(replica.generate(request)) as events:
                        async for event in events:
                            open_request.on_event(event)
                            if isinstance(event, Started | Rated):
                                if type(event) in sent:
                                    continue
                                sent.add(type(event))
                            has_token = has_token or isinstance(event, Delta)
                            yield event
                    return
                except ReplicaFailed:
                    if has_token or has_failed:
                        raise
                    has_failed = True
                except Unavailable:
                    # The replica was being stopped, which is not a failure: another one answers.
                    if has_token or not self._was_stopped(replica):
                        raise

    async def count(self, version_key: str, files: Mapping[str, Path], request: Generate) -> int:
        """Load the version if it isn't, and return the number of tokens of the request's prompt.

        Raises what is wrong with the request, and ReplicaFailed if the replica died twice."""
        return await self._ask(version_key, files, request, lambda replica: replica.count(request))

    async def tokenize(self, version_key: str, files: Mapping[str, Path], command: Tokenize) -> Tokenized:
        """Load the version if it isn't, and return the tokens of a prompt.

        Raises what is wrong with the request, and ReplicaFailed if the replica died twice."""
        return await self._ask(version_key, files, command.request, lambda replica: replica.tokenize(command))

    async def embed(self, version_key: str, files: Mapping[str, Path], request: Embed) -> Embedded:
        """Load the version if it isn't, and return the vectors. Cancelling aborts the request.

        Raises what is wrong with the request, and ReplicaFailed if the replica died twice."""
        return await self._ask(version_key, files, request, lambda replica: replica.embed(request))

    async def rate(self, version_key: str, files: Mapping[str, Path], command: Rate) -> Rated:
        """Load the version if it isn't, and return the scores of the given texts. Cancelling aborts the request.

        Raises what is wrong with the request, and ReplicaFailed if the replica died twice."""
        return await self._ask(version_key, files, command, lambda replica: replica.rate(command))

    def status(self) -> list[VersionStatus]:
        """Any thread may call this."""
        return [replica_set.status() for replica_set in [*self.replica_sets.values()]]

    def activity(self, version_key: str) -> Activity:
        replica_set = self.replica_sets.get(version_key)
        if replica_set is None:
            return Activity()
        return Activity(
            replica_set.num_wanted, replica_set.num_open, replica_set.tokens_in_flight, replica_set.idle_seconds
        )

    def scale(
        self,
        version_key: str,
        files: Mapping[str, Path],
        num_replicas: int,
        settings: ReplicaSettings | None = None,
    ) -> None:
        """Set the number of replicas of the version; 0: none until a request comes. Returns at once.

        `settings`: of its replicas, also of those that a request starts. Replicas that have others are replaced, each
        once its successor is ready.
        """
        settings = settings or self._settings
        if num_replicas or version_key in self.replica_sets or settings != self._settings:
            self._replica_set(version_key, files).scale(num_replicas, settings)

    def release(self, version_key: str) -> None:
        """Stop the version's replicas after their last answers. From now on it is loaded on demand."""
        if replica_set := self.replica_sets.get(version_key):
            replica_set.scale(0, self._settings)

    def retry_failed(self) -> None:
        """Try failed loads again that are due."""
        for replica_set in self.replica_sets.values():
            replica_set.retry_failed()

    def retry_pending(self) -> None:
        """Look for room for the replicas that have none: a node may have some now."""
        for replica_set in self.replica_sets.values():
            replica_set.retry_pending()

    def vacate(self, node: str) -> None:
        """Replace all replicas on a node, which is about to leave. They finish their running requests."""
        for replica_set in self.replica_sets.values():
            replica_set.vacate(node)

    async def stop(self, version_key: str) -> None:
        """Stop the version's replicas after their running requests. The next request loads it again."""
        if replica_set := self.replica_sets.get(version_key):
            await replica_set.stop(drain=True)

    async def discard(self, version_key: str) -> None:
        """Stop a version that was removed, and forget it."""
        if replica_set := self.replica_sets.get(version_key):
            await replica_set.stop(drain=True)
            if not replica_set.slots:
                self.replica_sets.pop(version_key, None)

    async def close(self, drain: bool = True) -> None:
        """Accept no more requests, and stop all replicas. Returns when all processes are gone.

        `drain`: let running requests finish first. Otherwise they fail."""
        self._is_closing = True
        await asyncio.gather(*(replica_set.stop(drain=drain) for replica_set in self.replica_sets.values()))

    async def _ask(
        self,
        version_key: str,
        files: Mapping[str, Path],
        request: Generate | Rate | Embed,
        ask: Callable[[Replica], Awaitable[T]],
    ) -> T:
        replica_set, open_request = self._replica_set(version_key, files), OpenRequest(request)
        has_failed = False
        with replica_set.holding(open_request):
            while True:
                replica = await replica_set.replica(open_request, wait_seconds=self._wait_seconds)
                try:
                    return await ask(replica)
                except ReplicaFailed:
                    if has_failed:
                        raise
                    has_failed = True
                except Unavailable:
                    if not self._was_stopped(replica):
                        raise

    def _was_stopped(self, replica: Replica) -> bool:
        return replica.is_stopping and not self._is_closing

    def _replica_set(self, version_key: str, files: Mapping[str, Path]) -> ReplicaSet:
        if self._is_closing:
            raise Unavailable("The server is shutting down. Try again in a moment.", retry_after_seconds=5)

        async def start(settings: ReplicaSettings, on_loading: OnLoading) -> Replica:
            await asyncio.to_thread(self._check, version_key)
            request = PlacementRequest(
                version=version_key, files=files, settings=settings, on_fetching=_fetching(on_loading)
            )
            return await Replica.start(self._placer, request, self.timeouts, on_loading)

        replica_set = self.replica_sets.get(version_key)
        if replica_set is None:
            replica_set = self.replica_sets[version_key] = ReplicaSet(
                version_key,
                self._settings,
                start,
                backoff_seconds=self._backoff_seconds,
                clock=self._clock,
                on_event=lambda *event: self.on_event(*event),
            )
        replica_set.start = start
        return replica_set


def _fetching(on_loading: OnLoading) -> Callable[[int, int], None]:
    """Return a callback that reports files on their way to a node as the progress of a load."""
    began = time.monotonic()

    def on_fetching(num_done: int, num_total: int) -> None:
        if num_done and num_total:
            left = (time.monotonic() - began) * (num_total - num_done) / num_done
            on_loading(Loading(percent=round(100 * num_done / num_total, 1), seconds_left=round(left, 1)))

    return on_fetching
