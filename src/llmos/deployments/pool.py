"""Versions that run on this machine, each in a replica of its own: loaded on demand, restarted when they die or are
stuck."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import LLMOSError, ReplicaFailed, Unavailable
from llmos.deployments.replica import WORKER_COMMAND, Replica
from llmos.deployments.watchdog import Patience
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta, Embed, Embedded, Event, Generate, Load, Ready, Started

_log = logging.getLogger(__name__)

State = Literal["loading", "ready", "stuck", "failed", "stopped"]
"""stuck: it has not got on for half of the time after which it is killed and started again."""

MAX_STARTS = 4
"""Times that one load is tried while the process dies of it; then its callers get the error, and the next one tries."""

MAX_WAIT_SECONDS = 5
"""A restart that is further away than this is not waited for: callers are told when to come back."""

STABLE_SECONDS = 60
"""A replica that lived this long has earned an immediate restart."""


def default_backoff_seconds(num_deaths: int) -> float:
    """How long to wait before a start, after so many early deaths in a row: 0, 0.5, 1, 2, 4, ... 30."""
    return 0.0 if num_deaths <= 1 else min(30.0, 0.5 * 2 ** (num_deaths - 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaStatus:
    version: str
    state: State
    since: datetime
    """When it got into this state."""
    pid: int | None
    ready: Ready | None
    """What was loaded, once it is."""
    load: Load | None
    """How busy it is."""
    restarts: int
    error: str | None
    """Why it failed, or why it is loaded once more."""


class Pool:
    """Answers requests for any version whose files are given, and survives the death of every replica."""

    def __init__(
        self,
        *,
        config: EngineConfig | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        patience: Patience | None = None,
        backoff_seconds: Callable[[int], float] = default_backoff_seconds,
        clock: Clock = utc_now,
    ) -> None:
        """`config`: of every engine. `command`: starts a worker; the number of its socket is added to it."""
        self._config = config or EngineConfig()
        self._command = command
        self._patience = patience or Patience()
        self._backoff_seconds = backoff_seconds
        self._clock = clock
        self._deployments: dict[str, _Deployment] = {}
        self._is_closing = False

    async def ensure(self, version_key: str, files: Mapping[str, Path]) -> Ready:
        """Return when the version is loaded; callers at the same time share one load.

        Raises what is wrong with the model, ReplicaFailed where its process keeps dying, or Unavailable.
        """
        replica = await self._deployment(version_key, files).replica()
        assert replica.ready is not None
        return replica.ready

    async def generate(
        self, version_key: str, files: Mapping[str, Path], request: Generate
    ) -> AsyncGenerator[Event, None]:
        """Load the version if it isn't, then yield Started once, and Deltas until every choice has its finish_reason.

        A request whose replica dies before it has sent a token is tried once more; after that it gets ReplicaFailed.
        Everything that goes wrong with a request is raised. Closing the generator aborts the request.
        """
        deployment = self._deployment(version_key, files)
        has_started = has_token = False
        for is_last_try in (False, True):
            replica = await deployment.replica()
            try:
                async with aclosing(replica.generate(request)) as events:
                    async for event in events:
                        if isinstance(event, Started):
                            if has_started:
                                continue
                            has_started = True
                        has_token = has_token or isinstance(event, Delta)
                        yield event
                return
            except ReplicaFailed:
                if has_token or is_last_try:
                    raise

    async def count(self, version_key: str, files: Mapping[str, Path], request: Generate) -> int:
        """Load the version if it isn't, and return how many tokens the request's prompt has. Raises what is wrong with
        it, and ReplicaFailed where the replica died twice."""
        deployment = self._deployment(version_key, files)
        try:
            return await (await deployment.replica()).count(request)
        except ReplicaFailed:
            return await (await deployment.replica()).count(request)

    async def embed(self, version_key: str, files: Mapping[str, Path], request: Embed) -> Embedded:
        """Load the version if it isn't, and return the vectors. Raises what is wrong with the request, and
        ReplicaFailed where the replica died twice. Cancelling aborts the request."""
        deployment = self._deployment(version_key, files)
        try:
            return await (await deployment.replica()).embed(request)
        except ReplicaFailed:
            return await (await deployment.replica()).embed(request)

    def status(self) -> list[ReplicaStatus]:
        return [deployment.status() for deployment in self._deployments.values()]

    async def stop(self, version_key: str) -> None:
        """Let the version's running requests end, and then its replica. The next request loads it again."""
        if deployment := self._deployments.get(version_key):
            await deployment.stop(drain=True)

    async def close(self, drain: bool = True) -> None:
        """Take no more requests. Return when those that run have ended (or at once, failing them) and all processes
        are gone."""
        self._is_closing = True
        stops = [deployment.stop(drain=drain) for deployment in self._deployments.values()]
        await asyncio.gather(*stops)

    def _deployment(self, version_key: str, files: Mapping[str, Path]) -> "_Deployment":
        if self._is_closing:
            raise Unavailable("The server is shutting down.", retry_after_seconds=5)
        start = partial(Replica.start, files, self._config, self._command, self._patience)
        deployment = self._deployments.get(version_key)
        if deployment is None:
            deployment = _Deployment(version_key, start, self._backoff_seconds, self._clock)
            self._deployments[version_key] = deployment
        deployment.start = start
        return deployment


class _Deployment:
    """One version and the replica that serves it, whichever process that is at the moment.

             replica()               loaded
    stopped ───────────▶ loading ─────────────▶ ready
       ▲        ▲           │ failed               │ died
       │        │           ▼                      ▼
       └─ stop  └─────── failed                 loading …
    """

    def __init__(
        self,
        version: str,
        start: Callable[[], Awaitable[Replica]],
        backoff_seconds: Callable[[int], float],
        clock: Clock,
    ) -> None:
        self._version = version
        self.start = start
        """Starts a process. Set anew with every request: the files of a model that failed may have been mended."""
        self._backoff_seconds = backoff_seconds
        self._clock = clock
        self._state: State = "stopped"
        self._since = clock()
        self._error: str | None = None
        self._replica: Replica | None = None
        self._loading: asyncio.Task[Replica] | None = None
        self._report: asyncio.Task[None] | None = None
        """What is being said about the last death. Kept here, so that it isn't lost."""
        self._starts_at = 0.0
        """On the loop's clock: when the next try of the load begins."""
        self._restarts = 0
        self._num_early_deaths = 0

    async def replica(self) -> Replica:
        """Return the replica when it is ready, starting it where it is not running."""
        if self._replica is not None and self._replica.is_alive:
            return self._replica
        loading = self._load()
        wait_seconds = self._starts_at - asyncio.get_running_loop().time()
        if wait_seconds > MAX_WAIT_SECONDS:
            raise Unavailable(
                f"The model's process died {self._num_early_deaths} times in a row; it is started again in "
                f"{wait_seconds:.0f} seconds. Its last words are in the server's log.",
                retry_after_seconds=wait_seconds,
            )
        try:
            # Shielded: one caller that goes away must not stop what the others wait for.
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if loading.cancelled() and not (task and task.cancelling()):
                raise Unavailable("The model is being stopped. Try again in a moment.", retry_after_seconds=1) from None
            raise

    def status(self) -> ReplicaStatus:
        replica = self._replica
        return ReplicaStatus(
            version=self._version,
            state="stuck" if replica and replica.is_overdue else self._state,
            since=self._since,
            pid=replica.pid if replica else None,
            ready=replica.ready if replica else None,
            load=replica.load if replica else None,
            restarts=self._restarts,
            error=self._error,
        )

    async def stop(self, *, drain: bool) -> None:
        replica, self._replica = self._replica, None
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
            await asyncio.wait([self._loading])
        self._enter("stopped")
        if replica is None:
            return
        try:
            if drain:
                await replica.drain()
        finally:
            # Also when the caller's patience ends: no process stays behind.
            await replica.kill()

    def _load(self) -> "asyncio.Task[Replica]":
        """Return the load that is under way, beginning one where none is."""
        if self._loading is None or self._loading.done():
            self._enter("loading")
            self._plan_start()
            self._loading = asyncio.create_task(self._start_until_ready())
            self._loading.add_done_callback(_look_at_error)
        return self._loading

    async def _start_until_ready(self) -> Replica:
        for num_tries_left in reversed(range(MAX_STARTS)):
            await asyncio.sleep(self._starts_at - asyncio.get_running_loop().time())
            try:
                replica = await self.start()
            except ReplicaFailed as error:
                _log.warning("%s: %s", self._version, error.message)
                self._error = error.message
                self._num_early_deaths += 1
                self._plan_start()
                if not num_tries_left:
                    self._enter("failed", error.message)
                    raise
            except LLMOSError as error:
                # The worker itself says what is wrong: trying again would say the same.
                self._enter("failed", error.message)
                raise
            else:
                break
        self._replica = replica
        self._enter("ready")
        # A callback comes before the requests of the replica get to know, so that a retry finds the restart under way.
        replica.lost.add_done_callback(lambda _: self._restart(replica))
        return replica

    def _restart(self, replica: Replica) -> None:
        if self._replica is not replica:
            return  # it was stopped
        lived_seconds = (self._clock() - self._since).total_seconds()
        self._num_early_deaths = 1 if lived_seconds >= STABLE_SECONDS else self._num_early_deaths + 1
        self._restarts += 1
        self._replica = None
        self._load()
        self._report = asyncio.create_task(self._tell_of(replica))

    async def _tell_of(self, dead: Replica) -> None:
        how = await dead.how_it_ended()
        if self._state == "loading":
            self._error = f"The model's process {how}. It is started again."
        advice = " If this machine is only slow, raise LLMOS_STUCK_SECONDS." if dead.was_stuck else ""
        _log.warning("%s: The model's process %d %s. It is started again.%s", self._version, dead.pid, how, advice)

    def _plan_start(self) -> None:
        self._starts_at = asyncio.get_running_loop().time() + self._backoff_seconds(self._num_early_deaths)

    def _enter(self, state: State, error: str | None = None) -> None:
        self._state, self._since, self._error = state, self._clock(), error


def _look_at_error(task: "asyncio.Task[Replica]") -> None:
    """Its callers may be gone, and a restart has none: that nobody looks at an error is no error."""
    if not task.cancelled():
        task.exception()
