"""Reconciler: makes the replicas in the pool match the deployments in the database.

It keeps no state that a new server couldn't rebuild: what is wanted is in the database, and replicas end with their
server. A server that is killed at any point is followed by one that starts with the first pass.

    every pass    read the deployments, if the database has changed
                  start, replace and stop replicas; put idle deployments to sleep; wake those that got a request
                  stop versions that were removed; record in the history what happened
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llmos.core.changes import Changes
from llmos.core.clock import utc_now
from llmos.core.errors import LLMOSError, NotFound
from llmos.core.hardware import num_cores
from llmos.deployments.desired.autoscaling import Demand, Scale, rescale
from llmos.deployments.desired.deployment import DEFAULT_IDLE_SECONDS, Deployment, DeploymentEvent
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.placing.placer import ReplicaSettings
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
"""Interval at which the load is measured and changes by other processes are noticed."""

OnEvent = Callable[[str, DeploymentEvent], None]
"""Called with the reference of a version, and what happened to its deployment."""

Failpoint = Callable[[str], None]
"""Called by name at each point where a test may kill the process: before and after each commit and other effect."""


def no_failpoint(name: str) -> None:
    """Do nothing: the default outside tests."""


@dataclass(frozen=True, slots=True)
class _DesiredState:
    """The content of the database when it was last read."""

    deployments: Mapping[str, tuple[Deployment, Mapping[str, Path]]]
    """By reference, with the files of the version."""
    problems: Mapping[str, str]
    """Why a deployment can't run, by reference."""
    versions: frozenset[str]
    """All versions on this machine."""


@dataclass(slots=True)
class _Tracked:
    """State of a deployment that this process keeps in memory."""

    scale: Scale
    slept_at: datetime | None = None
    """`updated_at` of the deployment whose sleep this process has carried out. None while it is awake here; other
    servers with the same database may have woken it."""


@dataclass(frozen=True, slots=True)
class _Event:
    ref: str
    kind: str
    reason: str
    data: Mapping[str, Any] = field(default_factory=dict)
    actor: str = ACTOR


class Reconciler:
    def __init__(
        self,
        deployments: Deployments,
        registry: Registry,
        pool: Pool,
        *,
        config: EngineConfig | None = None,
        on_demand: bool = False,
        on_capacity: Callable[[str, int], None] | None = None,
        on_event: OnEvent | None = None,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        """`config`: of every engine, where a deployment sets no other. `on_demand`: replicas run on this machine only,
        begin at a request for their version, and end when it is idle. `on_capacity`: called with each version and the
        number of its replicas that are ready. `on_event`: called with each event of a deployment, whichever process
        caused it, and with those of replicas that serve a version without a deployment."""
        self._deployments, self._registry, self._pool = deployments, registry, pool
        self._config, self._on_demand = config or EngineConfig(), on_demand
        self._on_capacity, self._on_event = on_capacity, on_event
        self._last_event: int | None = None
        """The id of the newest event that was passed on."""
        self._failpoint = failpoint
        self._tracked: dict[str, _Tracked] = {}
        self._desired = _DesiredState({}, {}, frozenset())
        self._database_state: int | None = None
        """The state of the database in which it was last read. None: it must be read again."""
        self._pending_events: list[_Event] = []
        self._discarding: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}
        self._num_cores = num_cores()
        self._changes: Changes | None = None
        """Told when the next pass must not wait for the poll. None until run()."""

    def problem(self, ref: str) -> str | None:
        """Return why a deployment can't run, if it isn't its replicas that say why."""
        return self._problems.get(ref)

    async def run(self) -> None:
        """Reconcile until cancelled. Errors are logged."""
        self._changes = Changes()
        self._deployments.on_change = self._changes.notify
        try:
            while True:
                try:
                    await self.reconcile()
                except Exception:  # Such as a database that is gone for a moment.
                    _log.exception("The deployments can't be reconciled. Trying again in a moment")
                await self._changes.wait(POLL_SECONDS)
        finally:
            self._deployments.on_change = None

    async def reconcile(self) -> None:
        """Make one pass."""
        self._pool.on_event = self._on_pool_event
        await self._read()
        self._problems = dict(self._desired.problems)
        for ref, (deployment, files) in self._desired.deployments.items():
            try:
                await self._reconcile_one(deployment, files)
            except NotFound:
                self._database_state = None  # It was removed meanwhile: read again.
            except LLMOSError as error:
                self._problems[ref] = error.message
        for ref in [ref for ref in self._tracked if ref not in self._desired.deployments]:
            self._failpoint("release")
            del self._tracked[ref]
            self._pool.release(ref)
            self._failpoint("released")
        if self._on_demand:
            self._release_idle()
        self._discard_removed()
        self._pool.retry_failed()
        self._report_capacity()
        await self._record_events()

    async def wait_until_discarded(self) -> None:
        """Return when the versions that were removed have stopped."""
        await asyncio.gather(*self._discarding.values())

    async def _read(self) -> None:
        state = self._deployments.database.state()
        if state is None or state != self._database_state:
            # The state was taken before reading: what changes meanwhile is read once more.
            self._desired = await asyncio.to_thread(self._read_all)
            self._database_state = state
            await self._report_events()

    async def _report_events(self) -> None:
        if self._on_event is not None:
            self._last_event, events = await asyncio.to_thread(self._deployments.new_events, self._last_event)
            for ref, event in events:
                self._on_event(ref, event)

    def _read_all(self) -> _DesiredState:
        versions = {version.ref: version for version in self._registry.list()}
        found: dict[str, tuple[Deployment, Mapping[str, Path]]] = {}
        problems: dict[str, str] = {}
        for deployment in self._deployments.list():
            if self._on_demand:
                deployment = replace(deployment, placement=None)
            if deployment.ref in versions:
                found[deployment.ref] = deployment, self._registry.loadable(versions[deployment.ref]).files
            else:
                problems[deployment.ref] = (
                    f"{deployment.ref} isn't on this machine. Get it, or: llmos undeploy {deployment.ref}"
                )
        return _DesiredState(found, problems, frozenset(versions))

    async def _reconcile_one(self, deployment: Deployment, files: Mapping[str, Path]) -> None:
        ref, settings = deployment.ref, replica_settings(deployment, self._config, self._num_cores)
        tracked = self._tracked.get(ref)
        if tracked is None:
            tracked = self._tracked[ref] = _Tracked(_initial_scale(deployment))
        activity = self._pool.activity(ref)
        if self._on_demand:
            if not activity.num_wanted or activity.idle_seconds >= DEFAULT_IDLE_SECONDS:
                self._put_to_sleep(tracked, deployment, files, settings)
            else:
                self._run_scaled(tracked, deployment, files, settings)
            return
        if deployment.asleep:
            # Also if a request has woken it since, and it was put to sleep again before that was recorded.
            is_new = tracked.slept_at != deployment.updated_at
            is_still_used = is_new and await self._is_still_used(deployment)
            if is_new and not is_still_used:
                self._put_to_sleep(tracked, deployment, files, settings)
                return
            if not activity.num_wanted:
                return
            await self._wake(ref, "Another server was idle; this one isn't." if is_still_used else "A request came.")
        elif tracked.slept_at == deployment.updated_at and not activity.num_wanted:
            return  # It was idle here. Another server with this database got a request, or never was idle.
        if tracked.slept_at is not None:
            tracked.slept_at, tracked.scale = None, _initial_scale(deployment)
        elif _is_idle(deployment, activity.num_wanted, activity.idle_seconds):
            reason = f"Idle for {deployment.idle_seconds} seconds."
            asleep = await self._commit("sleep", partial(self._deployments.sleep, ref, actor=ACTOR, reason=reason))
            if _is_idle(deployment, 1, self._pool.activity(ref).idle_seconds):
                self._put_to_sleep(tracked, asleep, files, settings)
                return
            await self._wake(ref, "A request came.")  # while the sleep was committed
        self._run_scaled(tracked, deployment, files, settings)

    def _run_scaled(
        self, tracked: _Tracked, deployment: Deployment, files: Mapping[str, Path], settings: ReplicaSettings
    ) -> None:
        self._rescale(tracked, deployment)
        self._failpoint("scale")
        self._pool.scale(deployment.ref, files, tracked.scale.num_replicas, settings)
        self._failpoint("scaled")

    async def _is_still_used(self, deployment: Deployment) -> bool:
        """Return whether a deployment that was put to sleep because it was idle is not idle here: another server with
        this database was idle, and nobody asked for the sleep."""
        activity = self._pool.activity(deployment.ref)
        if not activity.num_wanted or _is_idle(deployment, activity.num_wanted, activity.idle_seconds):
            return False
        return await asyncio.to_thread(self._deployments.slept_by, deployment.ref) == ACTOR

    async def _wake(self, ref: str, reason: str) -> None:
        wake = partial(self._deployments.wake, ref, actor=ACTOR, reason=reason, everywhere=False)
        await self._commit("wake", wake)

    def _put_to_sleep(
        self, tracked: _Tracked, deployment: Deployment, files: Mapping[str, Path], settings: ReplicaSettings
    ) -> None:
        tracked.slept_at = deployment.updated_at
        self._failpoint("unload")
        self._pool.scale(deployment.ref, files, 0, settings)
        self._failpoint("unloaded")

    def _rescale(self, tracked: _Tracked, deployment: Deployment) -> None:
        activity, before = self._pool.activity(deployment.ref), tracked.scale
        demand = Demand(num_choices=activity.num_open, tokens_in_flight=activity.tokens_in_flight)
        least, most = max(1, deployment.min_replicas), deployment.max_replicas
        tracked.scale = rescale(before, time.monotonic(), demand, least, most)
        # A change of the limits is in the history already.
        if tracked.scale.num_replicas != before.num_replicas and least <= before.num_replicas <= most:
            reason = f"{demand.num_choices} choices are open, with {demand.tokens_in_flight:,} tokens in flight."
            data = {"from": before.num_replicas, "to": tracked.scale.num_replicas}
            self._pending_events.append(_Event(deployment.ref, "scaled", reason, data, AUTOSCALER))

    def _release_idle(self) -> None:
        """Stop versions without a deployment that were loaded for a request and are idle."""
        for status in self._pool.status():
            activity = self._pool.activity(status.version)
            is_idle = activity.num_wanted and activity.idle_seconds >= DEFAULT_IDLE_SECONDS
            if is_idle and status.version not in self._desired.deployments:
                self._pool.release(status.version)

    def _discard_removed(self) -> None:
        for status in self._pool.status():
            if status.version not in self._desired.versions and status.version not in self._discarding:
                self._discarding[status.version] = asyncio.create_task(self._discard(status.version))

    async def _discard(self, version: str) -> None:
        try:
            # Check again: it may have been pulled and loaded since the database was read.
            if version not in await asyncio.to_thread(lambda: {each.ref for each in self._registry.list()}):
                await self._pool.discard(version)
        finally:
            del self._discarding[version]

    def _report_capacity(self) -> None:
        if self._on_capacity is not None:
            for status in self._pool.status():
                self._on_capacity(status.version, status.num_ready)

    def _on_pool_event(self, version: str, kind: str, reason: str, data: Mapping[str, Any]) -> None:
        if version in self._tracked:
            self._pending_events.append(_Event(version, kind, reason, data))
            if self._changes is not None:
                self._changes.notify()
        elif self._on_event is not None:
            self._on_event(version, DeploymentEvent(at=utc_now(), kind=kind, actor=ACTOR, reason=reason, data=data))

    async def _record_events(self) -> None:
        events, self._pending_events = self._pending_events, []
        for event in events:
            record = self._deployments.record_event
            await self._commit(
                "record", partial(record, event.ref, event.kind, event.reason, event.data, actor=event.actor)
            )

    async def _commit(self, name: str, change: Callable[[], T]) -> T:
        self._failpoint(f"before {name}")
        result = await asyncio.to_thread(change)
        self._failpoint(f"after {name}")
        return result


def replica_settings(deployment: Deployment, defaults: EngineConfig, num_cores: int) -> ReplicaSettings:
    """Return the settings of a deployment's replicas.

    Unless `threads` is set, they share this machine's cores: together they have one thread per core. Those on nodes
    share their nodes' cores, which the placer knows.
    """
    config = replace(defaults, **deployment.options)
    if config.threads is None and deployment.max_replicas > 1 and deployment.placement is None:
        config = replace(config, threads=max(1, num_cores // deployment.max_replicas))
    return ReplicaSettings(config=config, placement=deployment.placement, max_replicas=deployment.max_replicas)


def _initial_scale(deployment: Deployment) -> Scale:
    return Scale(num_replicas=max(1, deployment.min_replicas))


def _is_idle(deployment: Deployment, num_wanted: int, idle_seconds: float) -> bool:
    if deployment.idle_seconds is None or deployment.keep_warm or not num_wanted:
        return False
    return idle_seconds >= deployment.idle_seconds
