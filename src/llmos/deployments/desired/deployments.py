"""Deployments: the desired state, kept in the database, and the history of each deployment.

    deploy ──▶ awake ◀──▶ asleep        until it is removed

A deployment says what is wanted of one version; reconciler.py makes it so. Knows no process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.names import parse_reference
from llmos.core.suggest import did_you_mean
from llmos.deployments import queries
from llmos.deployments.desired.checks import DeploymentChecks
from llmos.deployments.desired.deployment import (
    DEFAULT_IDLE_SECONDS,
    Deployment,
    DeploymentEvent,
    DeploymentSettings,
    replica_limits,
)
from llmos.deployments.desired.deployment_rows import (
    columns_of,
    deployment_of,
    event_of,
    is_deployed,
    ref_of,
    settings_of,
    update,
)
from llmos.deployments.tables import DeploymentEventRow, DeploymentRow
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

MAX_EVENTS = 1000
"""Events that are kept of one deployment: the newest."""


class Deployments:
    """Any thread may call any method."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        *,
        checks: DeploymentChecks | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.database = database
        self.on_change: Callable[[], None] | None = None
        """Called after every commit of this object, in the thread that made it."""
        self._registry, self._checks, self._clock = registry, checks or DeploymentChecks(), clock

    def deploy(
        self, ref: str, settings: DeploymentSettings | None = None, *, actor: str, force: bool = False
    ) -> Deployment:
        """Deploy the version that `ref` names, or replace the settings of its deployment.

        Raises ModelNotFound; UnsupportedModel for a version that can't run; BadRequest for impossible settings;
        Conflict, with the numbers, for a version that fails a check, unless `force`; InsufficientMemory, with the
        arithmetic, if it doesn't fit.
        """
        settings = (settings or DeploymentSettings()).checked()
        version = self._version(ref)
        self._registry.check_runs(version, param="ref")
        failures = self._checks.failures(version, force)
        self._check_memory(version, settings)
        columns = {"ref": ref, "forced": bool(failures), **columns_of(settings)}
        with self._deploying(version) as (session, row):
            if not is_deployed(row):
                kind, reason, data = "deployed", "Deployed.", columns
                row.created_at, row.removed_at = self._clock(), None
                # With min_replicas 0, it begins asleep: the first request wakes it.
                row.asleep = settings.min_replicas == 0
                update(row, columns)
            else:
                if row.asleep and settings.min_replicas > 0:
                    row.asleep = False
                    self._record(session, version.ref, "woken", actor, "Deployed with at least one replica.")
                kind, reason, data = "changed", "Deployed again with other settings.", update(row, columns)
            row.updated_at = self._clock()
            if failures and data:
                reason, data = f"Forced although: {' '.join(failures)}", data | {"reasons": failures}
            if data:
                self._record(session, version.ref, kind, actor, reason, data)
            describe_action(version=version.ref, **({"forced": " ".join(failures)} if failures else {}))
            session.flush()
            deployment = deployment_of(row)
        self._notify()
        return deployment

    def scale(
        self,
        ref: str,
        *,
        actor: str,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> Deployment:
        """Change the number of replicas, or its limits; a limit that isn't given stays.

        Raises NotFound; BadRequest; InsufficientMemory if the replicas don't fit into memory.
        """
        if replicas is None and min_replicas is None and max_replicas is None:
            raise BadRequest(
                f"The number of replicas is missing: llmos scale {ref[:80]} --replicas N, or --min N --max M.",
                param="replicas",
            )
        deployed = self.get(ref)
        before = deployed.min_replicas, deployed.max_replicas
        least, most = replica_limits(replicas, min_replicas, max_replicas, before)
        self._check_memory(self._version(deployed.ref), replace(deployed, max_replicas=most))
        with self._changing(ref) as (session, row):
            settings = settings_of(row).with_limits(least, most)
            if changed := update(row, columns_of(settings)):
                self._record(session, ref_of(row), "changed", actor, "Scaled.", changed)
        return deployment_of(row)

    def sleep(self, ref: str, *, actor: str, reason: str = "Put to sleep.") -> Deployment:
        """Run no replica until the next request. Raises NotFound, and Conflict if it is kept warm."""
        with self._changing(ref) as (session, row):
            if row.keep_warm:
                raise Conflict(
                    f"{ref_of(row)} is kept warm. Allow it to sleep first: llmos deploy {ref_of(row)} --idle"
                    f" {DEFAULT_IDLE_SECONDS}"
                )
            # Even if it is asleep: a request may have woken it, which the reconciler has not recorded yet.
            row.updated_at = self._clock()
            if not row.asleep:
                row.asleep = True
                self._record(session, ref_of(row), "slept", actor, reason)
        return deployment_of(row)

    def slept_by(self, ref: str) -> str | None:
        """Return who put it to sleep last. `ref`: of its version, with the number."""
        with self.database.session() as session:
            actors = [row.actor for row in queries.deployment_events(session, ref) if row.kind == "slept"]
        return actors[-1] if actors else None

    def wake(self, ref: str, *, actor: str, reason: str = "Woken.", everywhere: bool = True) -> Deployment:
        """Run its replicas again. `everywhere`: on all servers with this database, also on those where it is idle.
        Raises NotFound."""
        with self._changing(ref) as (session, row):
            if everywhere:
                row.updated_at = self._clock()
            if row.asleep:
                row.asleep = False
                self._record(session, ref_of(row), "woken", actor, reason)
        return deployment_of(row)

    def remove(self, ref: str, *, actor: str) -> Deployment:
        """Undeploy it. Its history stays, and a request loads the version on demand. Raises NotFound."""
        with self._changing(ref) as (session, row):
            row.removed_at = self._clock()
            self._record(session, ref_of(row), "removed", actor, "Undeployed.")
        return deployment_of(row)

    def get(self, ref: str) -> Deployment:
        """Raises NotFound, with what is deployed."""
        found = self._ref_of(ref)
        with self.database.session() as session:
            return deployment_of(self._find(session, found, ref))

    def list(self) -> Sequence[Deployment]:
        with self.database.session() as session:
            return [deployment_of(row) for row in queries.deployments(session)]

    def history(self, ref: str) -> Sequence[DeploymentEvent]:
        """Return its events, oldest first, even after it was removed. Raises NotFound if it was never deployed."""
        found = self._ref_of(ref)
        with self.database.session() as session:
            rows = queries.deployment_events(session, found) if found else []
            if not rows:
                raise self._not_found(session, ref)
            return [event_of(row) for row in rows]

    def new_events(self, after: int | None) -> tuple[int, Sequence[tuple[str, DeploymentEvent]]]:
        """Return the id of the newest event, and the events since the one with the id `after`, with their deployments.

        None: no events, only the id to begin with.
        """
        with self.database.session() as session:
            if after is None:
                return queries.last_deployment_event(session), []
            rows = queries.deployment_events_after(session, after)
            return rows[-1].id if rows else after, [(row.deployment, event_of(row)) for row in rows]

    def record_event(
        self, ref: str, kind: str, reason: str, data: Mapping[str, Any] | None = None, *, actor: str
    ) -> None:
        """Add an event to the history of a deployment. `ref`: of its version, with the number."""
        with self.database.transaction() as session:
            self._record(session, ref, kind, actor, reason, data)

    def refuse_removal(self, session: Session, model: str, alias: str | None, numbers: Sequence[int]) -> None:
        """Raise Conflict, with the next command, if these versions or this alias are deployed."""
        for row in queries.deployments(session):
            if row.model == model and alias is not None and row.ref == f"{model}:{alias}":
                raise Conflict(
                    f"{ref_of(row)} was deployed as {model}:{alias}. Undeploy it first: llmos undeploy {ref_of(row)}"
                )
            if row.model == model and alias is None and row.number in numbers:
                raise Conflict(f"{ref_of(row)} is deployed. Undeploy it first: llmos undeploy {ref_of(row)}")

    def _version(self, ref: str) -> Version:
        version = self._registry.resolve(ref)
        if version.adapts is not None:
            base = f"{version.model}@{version.adapts}"
            raise BadRequest(
                f"{ref} is an adapter of {base}, whose replicas run it. Deploy that one: llmos deploy {base}",
                param="ref",
            )
        return version

    def _check_memory(self, version: Version, settings: DeploymentSettings) -> None:
        with self.database.session() as session:
            row = queries.deployment(session, version.model, version.number)
            # Replicas that run have their memory already.
            num_running = row.max_replicas if row is not None and is_deployed(row) and not row.asleep else 0
        # Nodes are asked when a replica is placed: one that finds no room waits for it.
        if settings.max_replicas > num_running and settings.placement is None:
            self._checks.memory(version, settings.options, settings.max_replicas - num_running)

    @contextmanager
    def _deploying(self, version: Version) -> Iterator[tuple[Session, DeploymentRow]]:
        """Open a transaction with the row of the version, a new one if it was never deployed."""
        with self.database.transaction(frees_space=True) as session:
            row = queries.deployment(session, version.model, version.number)
            if row is None:
                row = DeploymentRow(model=version.model, number=version.number, removed_at=self._clock())
                session.add(row)
            yield session, row

    @contextmanager
    def _changing(self, ref: str) -> Iterator[tuple[Session, DeploymentRow]]:
        """Open a transaction with the row of a deployment. Raises NotFound."""
        found = self._ref_of(ref)
        with self.database.transaction(frees_space=True) as session:
            row = self._find(session, found, ref)
            yield session, row
        self._notify()

    def _find(self, session: Session, found: str | None, ref: str) -> DeploymentRow:
        if found is not None:
            model, _, number = found.partition("@")
            row = queries.deployment(session, model, int(number))
            if row is not None and is_deployed(row):
                return row
        raise self._not_found(session, ref)

    def _ref_of(self, ref: str) -> str | None:
        """Return the version that a reference names now. One with a number may name a version that was removed."""
        reference = parse_reference(ref)
        if reference.number is not None:
            return f"{reference.name}@{reference.number}"
        try:
            return self._registry.resolve(ref).ref
        except NotFound:
            return None

    def _not_found(self, session: Session, ref: str) -> NotFound:
        hint = did_you_mean(ref, [ref_of(row) for row in queries.deployments(session)])
        return NotFound(f"{ref[:80]} isn't deployed. {hint} Deploy it with: llmos deploy {ref[:80]}", param="ref")

    def _record(
        self,
        session: Session,
        ref: str,
        kind: str,
        actor: str,
        reason: str,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        session.add(
            DeploymentEventRow(
                deployment=ref, at=self._clock(), kind=kind, actor=actor, reason=reason, data=dict(data or {})
            )
        )
        session.flush()
        queries.forget_old_deployment_events(session, ref, MAX_EVENTS)

    def _notify(self) -> None:
        if self.on_change is not None:
            self.on_change()
