"""Versions that run on this machine, each in replicas of its own: loaded on demand or kept, restarted when they die or
are stuck."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import ReplicaFailed, Unavailable
from llmos.deployments.replicas.load_balancing import OpenRequest
from llmos.deployments.replicas.replica import WORKER_COMMAND, Replica
from llmos.deployments.replicas.replica_set import OnEvent, ReplicaSet
from llmos.deployments.replicas.status import VersionStatus
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta, Embed, Embedded, Event, Generate, Loading, Ready, Started

T = TypeVar("T")


def default_backoff_seconds(num_deaths: int) -> float:
    """How long to wait before a start, after so many early deaths in a row: 0, 0.5, 1, 2, 4, ... 30."""
    return 0.0 if num_deaths <= 1 else min(30.0, 0.5 * 2 ** (num_deaths - 2))


def ignore_event(version: str, kind: str, reason: str, data: Mapping[str, Any]) -> None:
    """Do nothing: the default callback."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What callers ask of a version at the moment."""

    num_wanted: int = 0
    """Replicas."""
    num_open: int = 0
    """Choices that are computed or wait."""
    tokens_in_flight: int = 0
    idle_seconds: float = 0.0
    """Since anybody asked anything of it; 0 while somebody does."""


class Pool:
    """Answers requests for any version whose files are given, and survives the death of every replica."""

    def __init__(
        self,
        *,
        config: EngineConfig | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        timeouts: ReplicaTimeouts | None = None,
        wait_seconds: float | None = None,
        backoff_seconds: Callable[[int], float] = default_backoff_seconds,
        clock: Clock = utc_now,
        check: Callable[[str], None] = lambda version_key: None,
    ) -> None:
        """`config`: of every engine that nobody says otherwise of. `command`: starts a worker; the number of its socket
        is added to it. `wait_seconds`: how long a request waits for a version that is being loaded. `check`: asked in
        a thread before each load, raises why a version must not be loaded."""
        self._config = config or EngineConfig()
        self._command = command
        self._timeouts = timeouts or ReplicaTimeouts()
        self._wait_seconds = wait_seconds
        self._backoff_seconds = backoff_seconds
        self._clock = clock
        self._replica_sets: dict[str, ReplicaSet] = {}
        self._check = check
        self._is_closing = False
        self.on_event: OnEvent = ignore_event
        """Called in the event loop for what happens to replicas: ready, died, failed."""

    async def ensure(self, version_key: str, files: Mapping[str, Path], *, wait: bool = False) -> Ready:
        """Return when a replica of the version is loaded; callers at the same time share one load.

        `wait`: wait however long that takes. Raises what is wrong with the model, ReplicaFailed where its process
        keeps dying, or Unavailable.
        """
        wait_seconds = None if wait else self._wait_seconds
        replica = await self._replica_set(version_key, files).replica(wait_seconds=wait_seconds)
        assert replica.ready is not None
        return replica.ready

    async def generate(
        self, version_key: str, files: Mapping[str, Path], request: Generate
    ) -> AsyncGenerator[Event, None]:
        """Load the version if it isn't, then yield Started once, and Deltas until every choice has its finish_reason.

        A request whose replica dies before it has sent a token is tried once more, on another where there is one; after
        that it gets ReplicaFailed. Everything that goes wrong with a request is raised. Closing the generator aborts
        the request.
        """
        replica_set, open_request = self._replica_set(version_key, files), OpenRequest(request)
        has_started = has_token = has_failed = False
        with replica_set.holding(open_request):
            while True:
                replica = await replica_set.replica(open_request, wait_seconds=self._wait_seconds)
                try:
                    async with aclosing(replica.generate(request)) as events:
                        async for event in events:
                            open_request.on_event(event)
                            if isinstance(event, Started):
                                if has_started:
                                    continue
                                has_started = True
                            has_token = has_token or isinstance(event, Delta)
                            yield event
                    return
                except ReplicaFailed:
                    if has_token or has_failed:
                        raise
                    has_failed = True
                except Unavailable:
                    # It had begun to leave. That is no failure: another one answers.
                    if has_token or not self._has_left(replica):
                        raise

    async def count(self, version_key: str, files: Mapping[str, Path], request: Generate) -> int:
        """Load the version if it isn't, and return how many tokens the request's prompt has. Raises what is wrong with
        it, and ReplicaFailed where the replica died twice."""
        return await self._ask(version_key, files, request, lambda replica: replica.count(request))

    async def embed(self, version_key: str, files: Mapping[str, Path], request: Embed) -> Embedded:
        """Load the version if it isn't, and return the vectors. Raises what is wrong with the request, and
        ReplicaFailed where the replica died twice. Cancelling aborts the request."""
        return await self._ask(version_key, files, request, lambda replica: replica.embed(request))

    def status(self) -> list[VersionStatus]:
        """Any thread may ask."""
        return [replica_set.status() for replica_set in [*self._replica_sets.values()]]

    def usage(self, version_key: str) -> Usage:
        replica_set = self._replica_sets.get(version_key)
        if replica_set is None:
            return Usage()
        return Usage(
            replica_set.num_wanted, replica_set.num_open, replica_set.tokens_in_flight, replica_set.idle_seconds
        )

    def scale(
        self, version_key: str, files: Mapping[str, Path], num_replicas: int, config: EngineConfig | None = None
    ) -> None:
        """Have so many replicas of the version from now on; 0: none until one is asked for. Returns at once.

        `config`: of its engines. Replicas that have another are replaced, each when its place is taken.
        """
        if num_replicas or version_key in self._replica_sets:
            self._replica_set(version_key, files).scale(num_replicas, config or self._config)

    def release(self, version_key: str) -> None:
        """Let the version's replicas end with their last answers: from now on it is loaded on demand."""
        if replica_set := self._replica_sets.get(version_key):
            replica_set.scale(0, self._config)

    def tend(self) -> None:
        """Try failed loads again whose time has come."""
        for replica_set in self._replica_sets.values():
            replica_set.tend()

    async def stop(self, version_key: str) -> None:
        """Let the version's running requests end, and then its replicas. The next request loads it again."""
        if replica_set := self._replica_sets.get(version_key):
            await replica_set.stop(drain=True)

    async def discard(self, version_key: str) -> None:
        """Stop a version that is no longer there, and forget it."""
        if replica_set := self._replica_sets.get(version_key):
            await replica_set.stop(drain=True)
            if not replica_set.slots:
                self._replica_sets.pop(version_key, None)

    async def close(self, drain: bool = True) -> None:
        """Take no more requests. Return when those that run have ended (or at once, failing them) and all processes
        are gone."""
        self._is_closing = True
        await asyncio.gather(*(replica_set.stop(drain=drain) for replica_set in self._replica_sets.values()))

    async def _ask(
        self,
        version_key: str,
        files: Mapping[str, Path],
        request: Generate | Embed,
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
                    if not self._has_left(replica):
                        raise

    def _has_left(self, replica: Replica) -> bool:
        return replica.is_stopping and not self._is_closing

    def _replica_set(self, version_key: str, files: Mapping[str, Path]) -> ReplicaSet:
        if self._is_closing:
            raise Unavailable("The server is shutting down.", retry_after_seconds=5)

        async def start(config: EngineConfig, on_loading: Callable[[Loading], None]) -> Replica:
            await asyncio.to_thread(self._check, version_key)
            return await Replica.start(files, config, self._command, self._timeouts, on_loading)

        replica_set = self._replica_sets.get(version_key)
        if replica_set is None:
            replica_set = self._replica_sets[version_key] = ReplicaSet(
                version_key,
                self._config,
                start,
                backoff_seconds=self._backoff_seconds,
                clock=self._clock,
                on_event=lambda *event: self.on_event(*event),
            )
        replica_set.start = start
        return replica_set
