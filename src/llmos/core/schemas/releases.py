"""Releases of applications: what is planned, what takes over, and what happened."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.evals import (
    EXIT_STATUSES,
    EvalComparisonDescription,
    EvalResultDescription,
    EvalRunDescription,
    Verdict,
)


class PlannedChange(Description, frozen=True, kw_only=True):
    """A difference between what is deployed and what would be."""

    kind: str = ""
    """model, field, prompt, file, knowledge or new."""
    text: str = ""
    """The change in words."""
    lines: list[str] = msgspec.field(default_factory=list)
    """A unified diff, of a prompt or a file."""


class CostOutlook(Description, frozen=True, kw_only=True):
    """The cost of the application's calls, as it was and as it would be if another model had answered them."""

    model: str = ""
    """The model or route that would answer."""
    num_days: int = 0
    num_calls: int = 0
    """The calls of its models in these days."""
    was: dict[str, str] = msgspec.field(default_factory=dict)
    """Their cost, by currency, as decimals."""
    cost: str | None = None
    """Their cost with the other model, by the prices of now; null where no price applies."""
    currency: str = ""
    text: str = ""


class PlannedEval(Description, frozen=True, kw_only=True):
    """A suite that the version must pass before any caller reaches it."""

    suite: str = ""
    """As app.yaml names it: a file, or a dataset."""
    num_cases: int = 0
    num_repeats: int = 1
    against: str | None = None
    """The version that is asked the same cases; null: none."""
    text: str = ""


class ReleaseCheckDescription(Description, frozen=True, kw_only=True):
    """The result of the suites of a version, asked in a process of its own."""

    app: str = ""
    version: str = ""
    against: str | None = None
    """The deployed version, with which a suite may compare it."""
    state: Literal["unfinished", "finished"] = "finished"
    verdict: Verdict | None = None
    """The worst of its suites; null: one hasn't finished, or none was begun."""
    evals: list[EvalRunDescription] = msgspec.field(default_factory=list)
    """The newest run of each suite that has one."""
    sentences: list[str] = msgspec.field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 passed, 4 a gate failed, 5 undecided, 1 could not run."""
        return EXIT_STATUSES[self.verdict or "could_not_run"]


class ReplayDescription(Description, frozen=True, kw_only=True):
    """A version and the deployed one, asked the same recorded traffic."""

    app: str = ""
    version: str = ""
    against: str = ""
    """The deployed version."""
    id: str = ""
    """The run of an eval that has the answers; empty where there was nothing to ask."""
    job: str | None = None
    state: Literal["unfinished", "finished"] = "unfinished"
    num_runs: int = 0
    """The recorded runs that were asked again."""
    verdict: Literal["better", "not_worse", "worse", "undecided"] | None = None
    """The verdict on the answers of `version`; `comparison` has those on seconds and cost."""
    results: list[EvalResultDescription] = msgspec.field(default_factory=list)
    comparison: EvalComparisonDescription | None = None
    left_out: list[str] = msgspec.field(default_factory=list)
    """Why other recorded runs weren't asked; only in the answer that begins it."""
    sentences: list[str] = msgspec.field(default_factory=list)


class ReleasePlan(Description, frozen=True, kw_only=True):
    """The changes that a release of a folder would make. Planning makes none."""

    app: str = ""
    environment: str = ""
    current: str | None = None
    """The version that is deployed, such as support@3; null: none."""
    version: str | None = None
    """The version that these files are; null: they are none yet."""
    newest_release: int = 0
    """The number of the newest release, which `apply` expects to be the newest one still."""
    has_changes: bool = False
    changes: list[PlannedChange] = msgspec.field(default_factory=list)
    drift: list[str] = msgspec.field(default_factory=list)
    """The changes that other hands have made since the last release."""
    cost: CostOutlook | None = None
    """The cost where another model would answer; null if the model stays, or there were no calls."""
    evals: list[PlannedEval] = msgspec.field(default_factory=list)
    """The suites that it must pass first."""
    check: ReleaseCheckDescription | None = None
    """The result of these suites; null: they weren't asked."""
    replay: ReplayDescription | None = None
    """The result of recorded traffic; null: it wasn't asked."""
    rollout: str = ""
    """The way in which it would take over."""


class ReleaseDescription(Description, frozen=True, kw_only=True):
    """A version of an application that takes over, or has."""

    app: str = ""
    number: int = 0
    """Counts the releases of the application, from 1."""
    environment: str = ""
    version: str = ""
    before: str | None = None
    """The version that was deployed before."""
    state: str = ""
    """`starting`, `running` (it takes over in steps), `active`, `superseded` or `rolled_back`."""
    percent: float = 0.0
    """The share of the callers that it answers."""
    step: int = -1
    """The index into `steps`; -1 while it starts."""
    steps: list[float] = msgspec.field(default_factory=list)
    """Empty: it took over at once."""
    gate: str = ""
    min_runs: int = 0
    max_hold_seconds: int | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """The versions behind the names of its models and its knowledge when it began."""
    evals: list[str] = msgspec.field(default_factory=list)
    """The runs of evals that it passed before it began."""
    reason: str = ""
    """Why it is in its state, with the numbers."""
    begun_by: str | None = None
    created_at: datetime | None = None
    active_at: datetime | None = None
    """The time from which it answered all callers."""
    ended_at: datetime | None = None


class ReleaseEventDescription(Description, frozen=True, kw_only=True):
    release: int = 0
    at: datetime | None = None
    kind: str = ""
    """`began`, `stepped`, `active`, `superseded` or `rolled_back`."""
    actor: str | None = None
    reason: str = ""
