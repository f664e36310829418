"""Makes what is wanted so: the deployments in the database, the replicas in the pool.

It knows nothing that a new server couldn't read: what is wanted is in the database, what runs ends with its server. So
one that is killed anywhere in here is followed by one that begins with the first pass.

    every pass    read what is wanted, where the database has changed
                  begin, replace and dismiss replicas; put to sleep who is idle; wake who was asked
                  forget versions that were removed; write what happened into the history
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llmos.core.errors import LLMOSError, NotFound
from llmos.core.hardware import inspect_hardware
from llmos.deployments.desired.autoscaling import Demand, Scale, rescale
from llmos.deployments.desired.deployments import Deployment, Deployments
from llmos.deployments.replicas.pool import Pool
from llmos.engine.config import EngineConfig
from llmos.models.registry import Registry

T = TypeVar("T")

_log = logging.getLogger(__name__)

ACTOR = "reconciler"
"""The actor, in the history of a deployment, of what the server does by itself."""

AUTOSCALER = "autoscaler"
"""The actor of a change in the number of replicas under load."""

POLL_SECONDS = 0.5
"""How soon a change is noticed that another process has made, and how often the load is looked at."""

Failpoint = Callable[[str], None]
"""Called by name at each point where a test may kill the process: before and after each commit and other effect."""


def no_failpoint(name: str) -> None:
    """Do nothing: the default outside tests."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the database said when it was last read."""

    deployments: Mapping[str, tuple[Deployment, Mapping[str, Path]]]
    """By ref, with the files of the version."""
    problems: Mapping[str, str]
    """Deployments that can't be made so, and why."""
    versions: frozenset[str]
    """All that there are on this machine."""


@dataclass(slots=True)
class _Kept:
    """What this process remembers of a deployment."""

    scale: Scale
    slept_at: datetime | None = None
    """Which of its sleeps this process has put it to. None while it is awake."""


class Reconciler:
    def __init__(
        self,
        deployments: Deployments,
        registry: Registry,
        pool: Pool,
        *,
        config: EngineConfig | None = None,
        on_capacity: Callable[[str, int], None] | None = None,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        """`config`: of every engine, where a deployment says nothing else. `on_capacity`: told of each version how many
        replicas are ready for it."""
        self._deployments, self._registry, self._pool = deployments, registry, pool
        self._config = config or EngineConfig()
        self._on_capacity = on_capacity
        self._failpoint = failpoint
        self._kept: dict[str, _Kept] = {}
        self._wanted = _Wanted({}, {}, frozenset())
        self._state: int | None = None
        self._pending_events: list[tuple[str, str, str, Mapping[str, Any]]] = []
        self._discarding: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}
        self._num_cores = inspect_hardware().num_cores
        self._has_news = asyncio.Event()
        """Something has happened that a pass should look at, or write down, at once."""

    def problem(self, ref: str) -> str | None:
        """Why a deployment can't be made so, where it isn't its replicas that say why."""
        return self._problems.get(ref)

    async def run(self) -> None:
        """Go on until cancelled, whatever goes wrong in a pass."""
        self._deployments.on_change = partial(_call_in, asyncio.get_running_loop(), self._has_news.set)
        try:
            while True:
                self._has_news.clear()
                try:
                    await self.reconcile()
                except Exception:  # Such as a database that is gone for a moment.
                    _log.exception("What is deployed can't be looked after")
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._has_news.wait()
        finally:
            self._deployments.on_change = None

    async def reconcile(self) -> None:
        """One pass."""
        self._pool.on_event = self._on_pool_event
        await self._read()
        self._problems = dict(self._wanted.problems)
        for ref, (deployment, files) in self._wanted.deployments.items():
            try:
                await self._make_so(deployment, files)
            except NotFound:
                self._state = None  # It was removed under us: read again.
            except LLMOSError as error:
                self._problems[ref] = error.message
        for ref in [ref for ref in self._kept if ref not in self._wanted.deployments]:
            self._failpoint("release")
            del self._kept[ref]
            self._pool.release(ref)
            self._failpoint("released")
        self._forget_removed()
        self._pool.retry_failed()
        self._report_capacity()
        await self._record_events()

    async def _read(self) -> None:
        state = self._deployments.database.state()
        if state is None or state != self._state:
            # The state is that of before: what changes meanwhile is read once more.
            self._wanted = await asyncio.to_thread(self._read_all)
            self._state = state

    def _read_all(self) -> _Wanted:
        versions = {version.ref: version for version in self._registry.list()}
        found: dict[str, tuple[Deployment, Mapping[str, Path]]] = {}
        problems: dict[str, str] = {}
        for deployment in self._deployments.list():
            if deployment.ref in versions:
                found[deployment.ref] = deployment, self._registry.loadable(versions[deployment.ref]).files
            else:
                problems[deployment.ref] = (
                    f"{deployment.ref} isn't on this machine. Get it, or: llmos undeploy {deployment.ref}"
                )
        return _Wanted(found, problems, frozenset(versions))

    async def _make_so(self, deployment: Deployment, files: Mapping[str, Path]) -> None:
        ref, config = deployment.ref, self._config_of(deployment)
        kept = self._kept.get(ref)
        if kept is None:
            kept = self._kept[ref] = _Kept(Scale(num_replicas=max(1, deployment.min_replicas)))
        activity = self._pool.activity(ref)
        if deployment.asleep:
            # Also where a request has woken it since, and its owner says so again before that is noted.
            if kept.slept_at != deployment.updated_at:
                self._put_to_sleep(kept, deployment, files, config)
                return
            if not activity.num_wanted:
                return
            await self._commit("wake", partial(self._deployments.wake, ref, actor=ACTOR, reason="A request came."))
        if kept.slept_at is not None:
            kept.slept_at, kept.scale = None, Scale(num_replicas=max(1, deployment.min_replicas))
        elif _is_idle(deployment, activity.num_wanted, activity.idle_seconds):
            reason = f"Idle for {deployment.idle_seconds} seconds."
            asleep = await self._commit("sleep", partial(self._deployments.sleep, ref, actor=ACTOR, reason=reason))
            if _is_idle(deployment, 1, self._pool.activity(ref).idle_seconds):
                self._put_to_sleep(kept, asleep, files, config)
                return
            await self._commit("wake", partial(self._deployments.wake, ref, actor=ACTOR, reason="A request came."))
        self._rescale(kept, deployment)
        self._failpoint("scale")
        self._pool.scale(ref, files, kept.scale.num_replicas, config)
        self._failpoint("scaled")

    def _put_to_sleep(
        self, kept: _Kept, deployment: Deployment, files: Mapping[str, Path], config: EngineConfig
    ) -> None:
        kept.slept_at = deployment.updated_at
        self._failpoint("unload")
        self._pool.scale(deployment.ref, files, 0, config)
        self._failpoint("unloaded")

    def _rescale(self, kept: _Kept, deployment: Deployment) -> None:
        activity, before = self._pool.activity(deployment.ref), kept.scale
        demand = Demand(num_choices=activity.num_open, tokens_in_flight=activity.tokens_in_flight)
        least, most = max(1, deployment.min_replicas), deployment.max_replicas
        kept.scale = rescale(before, time.monotonic(), demand, least, most)
        # Who changes the limits has said why already.
        if kept.scale.num_replicas != before.num_replicas and least <= before.num_replicas <= most:
            reason = f"{demand.num_choices} choices are open, with {demand.tokens_in_flight:,} tokens in flight."
            numbers = {"from": before.num_replicas, "to": kept.scale.num_replicas}
            self._pending_events.append((deployment.ref, "scaled", reason, numbers))

    def _config_of(self, deployment: Deployment) -> EngineConfig:
        """Replicas share this machine's cores: together they have as many threads as it has cores, when nobody says."""
        config = replace(self._config, **deployment.options)
        if config.threads is None and deployment.max_replicas > 1:
            config = replace(config, threads=max(1, self._num_cores // deployment.max_replicas))
        return config

    def _forget_removed(self) -> None:
        for status in self._pool.status():
            if status.version not in self._wanted.versions and status.version not in self._discarding:
                self._discarding[status.version] = asyncio.create_task(self._discard(status.version))

    async def _discard(self, version: str) -> None:
        try:
            # Once more: it may have come, and have been loaded, since what is wanted was read.
            if version not in await asyncio.to_thread(lambda: {each.ref for each in self._registry.list()}):
                await self._pool.discard(version)
        finally:
            del self._discarding[version]

    def _report_capacity(self) -> None:
        if self._on_capacity is not None:
            for status in self._pool.status():
                self._on_capacity(status.version, status.num_ready)

    def _on_pool_event(self, version: str, kind: str, reason: str, data: Mapping[str, Any]) -> None:
        if version in self._kept:
            self._pending_events.append((version, kind, reason, data))
            self._has_news.set()

    async def _record_events(self) -> None:
        events, self._pending_events = self._pending_events, []
        for event in events:
            await self._commit(
                "record",
                partial(self._deployments.record_event, *event, actor=AUTOSCALER if event[1] == "scaled" else ACTOR),
            )

    async def _commit(self, name: str, change: Callable[[], T]) -> T:
        self._failpoint(f"before {name}")
        result = await asyncio.to_thread(change)
        self._failpoint(f"after {name}")
        return result


def _is_idle(deployment: Deployment, num_wanted: int, idle_seconds: float) -> bool:
    if deployment.idle_seconds is None or deployment.keep_warm or not num_wanted:
        return False
    return idle_seconds >= deployment.idle_seconds


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
