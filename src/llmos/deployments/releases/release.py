"""Release: a version of an application that takes over in an environment, at once or in steps. Knows no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from llmos.core.errors import BadRequest
from llmos.deployments.releases.tables import AppReleaseEventRow, AppReleaseRow
from llmos.deployments.rollouts.gates import METRICS, SCORE, parse_gate
from llmos.deployments.rollouts.rollout import check_steps

ReleaseState = Literal["starting", "running", "active", "superseded", "rolled_back"]
"""starting: its process starts. running: it takes over in steps. superseded: another version was deployed."""

STATES: tuple[ReleaseState, ...] = ("starting", "running", "active", "superseded", "rolled_back")
TAKING_OVER = ("starting", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSteps:
    """The steps in which a version takes over, and the condition for each."""

    steps: Sequence[float] = ()
    """Percents of the callers, rising to 100. Empty: it takes over at once."""
    gate: str = ""
    min_calls: int = 20
    max_hold_seconds: int | None = None

    def checked(self) -> Self:
        """Return the steps. Raises BadRequest for impossible ones, and for a gate that asks for a score."""
        if not self.steps:
            return self
        check_steps(self.steps)
        if parse_gate(self.gate).asks_for_score:
            others = ", ".join(metric for metric in METRICS if metric != SCORE)
            raise BadRequest(
                f"The gate of a release has no `score`: its evals are checked before it begins. It may have {others}.",
                param="rollout",
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelease:
    """A release that is asked for."""

    project: str
    app: str
    version: int
    environment: str = ""
    steps: ReleaseSteps = ReleaseSteps()
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    """The evidence that it may begin, for the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(ReleaseSteps):
    id: int
    project: str
    app: str
    number: int
    """Counts the releases of the application, from 1."""
    environment: str
    version: int
    before: int | None
    """The version that was deployed before."""
    state: ReleaseState
    step: int
    """Index into `steps`; -1 while it starts."""
    step_began_at: datetime
    baseline: Mapping[str, float]
    facts: Mapping[str, Any]
    reason: str
    begun_by: str | None
    created_at: datetime
    active_at: datetime | None
    """The time from which it answered all callers; None: it never did."""
    ended_at: datetime | None
    scores: Mapping[str, float] = field(default_factory=dict)
    """Its evals are judged before it begins."""

    @property
    def ref(self) -> str:
        return f"{self.app}@{self.version}"

    @property
    def ref_before(self) -> str | None:
        return None if self.before is None else f"{self.app}@{self.before}"

    @property
    def is_taking_over(self) -> bool:
        return self.state in TAKING_OVER

    @property
    def percent(self) -> float:
        """The percent of the callers that it answers now."""
        if self.state == "active":
            return 100.0
        return self.steps[self.step] if self.state == "running" else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEvent:
    release: int
    """The number of the release."""
    at: datetime
    kind: str
    """began, stepped, active, superseded, rolled_back."""
    actor: str | None
    reason: str


def release_of(row: AppReleaseRow) -> Release:
    return Release(
        id=row.id,
        project=row.project,
        app=row.app,
        number=row.number,
        environment=row.environment,
        version=row.version,
        before=row.before,
        steps=tuple(row.steps),
        gate=row.gate,
        min_calls=row.min_calls,
        max_hold_seconds=row.max_hold_seconds,
        state=next(state for state in STATES if state == row.state),
        step=row.step,
        step_began_at=row.step_began_at,
        baseline=row.baseline,
        facts=row.facts,
        reason=row.reason,
        begun_by=row.begun_by,
        created_at=row.created_at,
        active_at=row.active_at,
        ended_at=row.ended_at,
    )


def event_of(row: AppReleaseEventRow, number: int) -> ReleaseEvent:
    return ReleaseEvent(release=number, at=row.at, kind=row.kind, actor=row.actor, reason=row.reason)
