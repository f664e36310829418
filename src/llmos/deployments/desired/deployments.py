"""Deployments: what the owner wants to run, kept in the database, and the history of each.

    deploy ──▶ wanted ◀──▶ asleep        until it is removed

A Deployment says what is wanted of one Version; reconciler.py makes it so. Knows no process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.suggest import nearest
from llmos.deployments import queries
from llmos.deployments.tables import DeploymentEventRow, DeploymentRow
from llmos.engine.config import EngineConfig
from llmos.models.names import parse_reference
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

MAX_REPLICAS = 64

MAX_IDLE_SECONDS = 30 * 24 * 3600

DEFAULT_IDLE_SECONDS = 300
"""After which a deployment that may go down to no replica does, when nobody says."""

MAX_EVENTS = 1000
"""That are kept of one deployment: the newest."""

RUNNERS = ("native",)

_REASONS = {"deployed": "Deployed.", "changed": "Deployed again with other settings."}

Check = Callable[[Version], Sequence[str]]
"""Says, a sentence each, why a version should not be deployed."""

CheckRoom = Callable[[Version, Mapping[str, Any], int], None]
"""Raises Unavailable, with the arithmetic, where so many more replicas of a version with these options don't fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    ref: str
    """Of its Version, and its own id: there is at most one of each Version."""
    model: str
    number: int
    asked: str
    """The reference that the owner wrote, which may be an alias of the Version."""
    min_replicas: int
    max_replicas: int
    runner: str
    options: Mapping[str, Any]
    """Of its replicas' EngineConfig, where it differs from the server's."""
    idle_seconds: int | None
    """It goes to sleep when nobody has asked for it for so long. None: never by itself."""
    keep_warm: bool
    """It never sleeps, whoever asks for it."""
    forced: bool
    """It was deployed against what its checks said. The history has the reasons."""
    asleep: bool
    """It runs no replica until it is asked for."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEvent:
    at: datetime
    kind: str
    """deployed, changed, slept, woken, scaled, ready, died, failed, removed."""
    actor: str | None
    """Who caused it: a user, a key, or a part of the server. None in events from before it was recorded."""
    reason: str
    data: Mapping[str, Any] = field(default_factory=dict)


def replica_limits(
    replicas: int | None, least: int | None, most: int | None, before: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the least and the largest number of replicas that somebody wants who may say either, both or one number.

    `before`: what holds where nothing is said. Raises BadRequest for one number beside limits.
    """
    if replicas is not None and (least is not None or most is not None):
        raise BadRequest("Say how many replicas, or the least and the most, but not both.", param="replicas")
    if replicas is not None:
        return replicas, max(1, replicas)
    if before is not None:
        return before[0] if least is None else least, before[1] if most is None else most
    least = 1 if least is None else least
    return least, max(1, least) if most is None else most


class Deployments:
    """Any thread may call any of this."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        *,
        checks: Sequence[Check] = (),
        check_room: CheckRoom | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._database, self._registry, self._checks, self._clock = database, registry, checks, clock
        self._check_room = check_room
        self.on_change: Callable[[], None] | None = None
        """Called after every commit of this object, in the thread that made it."""

    @property
    def database(self) -> Database:
        return self._database

    def deploy(
        self,
        ref: str,
        *,
        actor: str,
        min_replicas: int = 1,
        max_replicas: int = 1,
        idle_seconds: int | None = None,
        keep_warm: bool = False,
        runner: str = "native",
        options: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> Deployment:
        """Want this of the version that `ref` names, whatever was wanted of it before.

        Raises ModelNotFound; BadRequest for what can't be meant; and Conflict, with the numbers, for a version that
        fails a check, unless `force`, which the history keeps; Unavailable, with the arithmetic, where it doesn't fit.
        """
        idle_seconds = _check_replicas(min_replicas, max_replicas, idle_seconds, keep_warm)
        _check_runner(runner)
        EngineConfig.from_options(options or {})
        version = self._version(ref)
        reasons = self._refuse_unless_forced(version, force)
        self._refuse_without_room(version, options or {}, max_replicas)
        wanted = {
            "ref": ref,
            "min_replicas": min_replicas,
            "max_replicas": max_replicas,
            "runner": runner,
            "options": dict(options or {}),
            "idle_seconds": idle_seconds,
            "keep_warm": keep_warm,
            "forced": bool(reasons),
        }
        with self._database.transaction() as session:
            row = queries.deployment(session, version.model, version.number)
            now = self._clock()
            if row is None or row.removed_at is not None:
                if row is None:
                    row = DeploymentRow(model=version.model, number=version.number)
                    session.add(row)
                row.created_at, row.removed_at = now, None
                # What may be nothing begins as nothing: its first request wakes it.
                row.asleep = min_replicas == 0
                kind, data = "deployed", wanted
            else:
                kind, data = "changed", {name: value for name, value in wanted.items() if getattr(row, name) != value}
                if row.asleep and min_replicas > 0:
                    row.asleep = False
                    self._record_event(session, version.ref, "woken", actor, "Deployed with at least one replica.")
            for name, value in wanted.items():
                setattr(row, name, value)
            row.updated_at = now
            if data:
                reason = f"Forced although: {' '.join(reasons)}" if reasons else _REASONS[kind]
                facts = data | {"reasons": reasons} if reasons else data
                self._record_event(session, version.ref, kind, actor, reason, facts)
            session.flush()
            deployment = _deployment(row)
        self._tell()
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
        """Want so many replicas of what is deployed; a limit that isn't given stays. Raises NotFound, BadRequest, and
        Unavailable without room."""
        if replicas is None and min_replicas is None and max_replicas is None:
            raise BadRequest(
                f"Say how many: llmos scale {ref[:80]} --replicas N, or --min N --max M.", param="replicas"
            )
        deployed = self.get(ref)
        before = deployed.min_replicas, deployed.max_replicas
        min_replicas, max_replicas = replica_limits(replicas, min_replicas, max_replicas, before)
        self._refuse_without_room(self._version(deployed.ref), deployed.options, max_replicas)
        with self._changing(ref) as (session, row):
            idle_seconds = _check_replicas(min_replicas, max_replicas, row.idle_seconds, row.keep_warm)
            wanted = {"min_replicas": min_replicas, "max_replicas": max_replicas, "idle_seconds": idle_seconds}
            data = {name: value for name, value in wanted.items() if getattr(row, name) != value}
            for name, value in wanted.items():
                setattr(row, name, value)
            if data:
                self._record_event(session, _ref(row), "changed", actor, "Scaled.", data)
        return _deployment(row)

    def sleep(self, ref: str, *, actor: str, reason: str = "Put to sleep.") -> Deployment:
        """Want no replica of it until it is asked for. Raises NotFound, and Conflict where it is to be kept warm."""
        with self._changing(ref) as (session, row):
            if row.keep_warm:
                raise Conflict(
                    f"{_ref(row)} is kept warm. Let it sleep first: llmos deploy {_ref(row)} --idle"
                    f" {DEFAULT_IDLE_SECONDS}"
                )
            # Also of one that sleeps already: a request may have woken it, which isn't written down yet.
            row.updated_at = self._clock()
            if not row.asleep:
                row.asleep = True
                self._record_event(session, _ref(row), "slept", actor, reason)
        return _deployment(row)

    def wake(self, ref: str, *, actor: str, reason: str = "Woken.") -> Deployment:
        """Want its replicas again. Raises NotFound."""
        with self._changing(ref) as (session, row):
            if row.asleep:
                row.asleep = False
                self._record_event(session, _ref(row), "woken", actor, reason)
        return _deployment(row)

    def remove(self, ref: str, *, actor: str) -> Deployment:
        """Want it no more; its history stays. Who calls the version then has it loaded on demand. Raises NotFound."""
        with self._changing(ref) as (session, row):
            row.removed_at = self._clock()
            self._record_event(session, _ref(row), "removed", actor, "Undeployed.")
        return _deployment(row)

    def get(self, ref: str) -> Deployment:
        """Raises NotFound, with what is deployed, for what isn't."""
        found = self._ref_of(ref)
        with self._database.session() as session:
            return _deployment(self._find(session, found, ref))

    def list(self) -> Sequence[Deployment]:
        with self._database.session() as session:
            return [_deployment(row) for row in queries.deployments(session)]

    def history(self, ref: str) -> Sequence[DeploymentEvent]:
        """What happened to it, oldest first; also of one that was removed. Raises NotFound where nothing ever did."""
        found = self._ref_of(ref)
        with self._database.session() as session:
            rows = queries.deployment_events(session, found) if found else []
            if not rows:
                raise self._not_found(session, ref)
            return [_event(row) for row in rows]

    def record_event(
        self, ref: str, kind: str, reason: str, data: Mapping[str, Any] | None = None, *, actor: str
    ) -> None:
        """Add to the history of a deployment. `ref`: of its Version, as it is."""
        with self._database.transaction() as session:
            self._record_event(session, ref, kind, actor, reason, data)

    def refuse_removal(self, session: Session, model: str, alias: str | None, numbers: Sequence[int]) -> None:
        """Raise Conflict, with the next command, where a deployment needs these versions, or was made by the alias."""
        for row in queries.deployments(session):
            if row.model == model and alias is not None and row.ref == f"{model}:{alias}":
                raise Conflict(
                    f"{model}:{alias} is what {_ref(row)} was deployed by."
                    f" Undeploy that first: llmos undeploy {_ref(row)}"
                )
            if row.model == model and alias is None and row.number in numbers:
                raise Conflict(f"{_ref(row)} is deployed. Undeploy it first: llmos undeploy {_ref(row)}")

    def _version(self, ref: str) -> Version:
        version = self._registry.resolve(ref)
        if version.adapts is not None:
            adapted = f"{version.model}@{version.adapts}"
            raise BadRequest(
                f"{ref} is an adapter of {adapted}, whose replicas answer for it. Deploy that: llmos deploy {adapted}",
                param="ref",
            )
        return version

    def _refuse_unless_forced(self, version: Version, force: bool) -> Sequence[str]:
        reasons = [reason for check in self._checks for reason in check(version)]
        if reasons and not force:
            raise Conflict(
                f"{version.ref} is not deployed: {' '.join(reasons)}"
                f" To do it anyway: llmos deploy {version.ref} --force"
            )
        return reasons

    def _refuse_without_room(self, version: Version, options: Mapping[str, Any], max_replicas: int) -> None:
        if self._check_room is None:
            return
        with self._database.session() as session:
            row = queries.deployment(session, version.model, version.number)
            is_awake = row is not None and row.removed_at is None and not row.asleep
            num_here = row.max_replicas if row is not None and is_awake else 0
        # Those that run have their memory already.
        if max_replicas > num_here:
            self._check_room(version, options, max_replicas - num_here)

    @contextmanager
    def _changing(self, ref: str) -> Iterator[tuple[Session, DeploymentRow]]:
        found = self._ref_of(ref)
        with self._database.transaction() as session:
            row = self._find(session, found, ref)
            yield session, row
            if session.is_modified(row):
                row.updated_at = self._clock()
        self._tell()

    def _find(self, session: Session, found: str | None, ref: str) -> DeploymentRow:
        if found is not None:
            model, _, number = found.partition("@")
            row = queries.deployment(session, model, int(number))
            if row is not None and row.removed_at is None:
                return row
        raise self._not_found(session, ref)

    def _ref_of(self, ref: str) -> str | None:
        """The Version that a reference names now: also one that was removed, where it says the number."""
        reference = parse_reference(ref)
        if reference.number is not None:
            return f"{reference.model}@{reference.number}"
        try:
            return self._registry.resolve(ref).ref
        except NotFound:
            return None

    def _not_found(self, session: Session, ref: str) -> NotFound:
        known = [_ref(row) for row in queries.deployments(session)]
        meant = nearest(ref, known)
        hint = f"Did you mean {' or '.join(meant)}?" if meant else f"There is {', '.join(known) or 'none yet'}."
        return NotFound(f"{ref[:80]} isn't deployed. {hint} Deploy it with: llmos deploy {ref[:80]}", param="ref")

    def _record_event(
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

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()


def _check_replicas(min_replicas: int, max_replicas: int, idle_seconds: int | None, keep_warm: bool) -> int | None:
    """Return after how many idle seconds it sleeps. Raises BadRequest for what contradicts itself."""
    if not 0 <= min_replicas <= MAX_REPLICAS:
        raise BadRequest(
            f"The least number of replicas is {min_replicas}; it is from 0 to {MAX_REPLICAS}.", param="min_replicas"
        )
    if not 1 <= max_replicas <= MAX_REPLICAS:
        raise BadRequest(
            f"The largest number of replicas is {max_replicas}; it is from 1 to {MAX_REPLICAS}."
            " To run none until somebody asks, let it sleep: llmos sleep NAME",
            param="max_replicas",
        )
    if min_replicas > max_replicas:
        raise BadRequest(
            f"At least {min_replicas} and at most {max_replicas} replicas can't both be: lower the first or raise the"
            " second.",
            param="min_replicas",
        )
    if idle_seconds is not None and not 1 <= idle_seconds <= MAX_IDLE_SECONDS:
        raise BadRequest(
            f"It can't sleep after {idle_seconds} idle seconds; it is from 1 to {MAX_IDLE_SECONDS:,}.",
            param="idle_seconds",
        )
    if keep_warm and (min_replicas == 0 or idle_seconds is not None):
        what = "no replica at the least" if min_replicas == 0 else f"sleep after {idle_seconds} idle seconds"
        raise BadRequest(f"To keep it warm and to have {what} can't both be: leave one out.", param="keep_warm")
    return DEFAULT_IDLE_SECONDS if min_replicas == 0 and idle_seconds is None else idle_seconds


def _check_runner(runner: str) -> None:
    if runner not in RUNNERS:
        raise BadRequest(f"There is no runner {runner!r}; there is {', '.join(RUNNERS)}.", param="runner")


def _ref(row: DeploymentRow) -> str:
    return f"{row.model}@{row.number}"


def _deployment(row: DeploymentRow) -> Deployment:
    return Deployment(
        ref=_ref(row),
        model=row.model,
        number=row.number,
        asked=row.ref,
        min_replicas=row.min_replicas,
        max_replicas=row.max_replicas,
        runner=row.runner,
        options=row.options,
        idle_seconds=row.idle_seconds,
        keep_warm=row.keep_warm,
        forced=row.forced,
        asleep=row.asleep,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _event(row: DeploymentEventRow) -> DeploymentEvent:
    return DeploymentEvent(at=row.at, kind=row.kind, actor=row.actor, reason=row.reason, data=row.data)
