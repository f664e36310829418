"""Releases of applications: plans, the checks before a release, its rollout, and its events."""

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
    """A difference between the deployed version and the planned one."""

    kind: str = ""
    """model, field, prompt, file, knowledge or new."""
    text: str = ""
    """A sentence that describes the change."""
    lines: list[str] = msgspec.field(default_factory=list)
    """A unified diff, of a prompt or a file."""


class CostOutlook(Description, frozen=True, kw_only=True):
    """The cost of the application's past calls, and the cost if another model had answered them."""

    model: str = ""
    """The model or route that would answer after the release."""
    num_days: int = 0
    num_calls: int = 0
    """The number of calls of models in these days."""
    was: dict[str, str] = msgspec.field(default_factory=dict)
    """The cost of these calls by currency, as decimal texts."""
    cost: str | None = None
    """The cost of these calls with the other model at the current prices; null if no price applies."""
    currency: str = ""
    text: str = ""


class PlannedEval(Description, frozen=True, kw_only=True):
    """A suite that the version must pass before any caller reaches it."""

    suite: str = ""
    """The name of the suite in app.yaml: a file, or a dataset."""
    num_cases: int = 0
    num_repeats: int = 1
    against: str | None = None
    """The version that the same cases are run against for comparison; null: none."""
    text: str = ""


class ReleaseCheckDescription(Description, frozen=True, kw_only=True):
    """The results of the suites of a version, which runs in a separate process."""

    app: str = ""
    version: str = ""
    against: str | None = None
    """The deployed version, for suites that compare versions."""
    state: Literal["unfinished", "finished"] = "finished"
    verdict: Verdict | None = None
    """The worst verdict of the suites; null if a suite hasn't finished, or none has started."""
    evals: list[EvalRunDescription] = msgspec.field(default_factory=list)
    """The newest run of each suite that has one."""
    sentences: list[str] = msgspec.field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 passed, 4 a gate failed, 5 undecided, 1 could not run."""
        return EXIT_STATUSES[self.verdict or "could_not_run"]


class ReplayDescription(Description, frozen=True, kw_only=True):
    """The comparison of a version with the deployed one, on recorded traffic."""

    app: str = ""
    version: str = ""
    against: str = ""
    """The deployed version."""
    id: str = ""
    """The id of the eval run with the answers; empty if there were no recorded runs to replay."""
    job: str | None = None
    state: Literal["unfinished", "finished"] = "unfinished"
    num_runs: int = 0
    """The number of recorded runs that were replayed."""
    verdict: Literal["better", "not_worse", "worse", "undecided"] | None = None
    """The verdict on the answers of `version`. `comparison` has the verdicts on seconds and cost."""
    results: list[EvalResultDescription] = msgspec.field(default_factory=list)
    comparison: EvalComparisonDescription | None = None
    left_out: list[str] = msgspec.field(default_factory=list)
    """The reasons that other recorded runs weren't replayed; only in the response that starts the replay."""
    sentences: list[str] = msgspec.field(default_factory=list)


class ReleasePlan(Description, frozen=True, kw_only=True):
    """The changes that a release of a folder would make. Planning changes nothing."""

    app: str = ""
    environment: str = ""
    current: str | None = None
    """The version that is deployed, such as support@3; null: none."""
    version: str | None = None
    """The version with exactly these files; null if there is none yet."""
    newest_release: int = 0
    """The number of the newest release. `apply` fails if a newer one was made in the meantime."""
    has_changes: bool = False
    changes: list[PlannedChange] = msgspec.field(default_factory=list)
    drift: list[str] = msgspec.field(default_factory=list)
    """The changes that were made outside of releases since the last release."""
    cost: CostOutlook | None = None
    """The change of cost with another model; null if the model stays the same, or there were no calls."""
    evals: list[PlannedEval] = msgspec.field(default_factory=list)
    """The suites that the version must pass first."""
    check: ReleaseCheckDescription | None = None
    """The results of these suites; null if they weren't requested."""
    replay: ReplayDescription | None = None
    """The result on recorded traffic; null if it wasn't requested."""
    rollout: str = ""
    """A sentence about the rollout: at once, or in steps."""


class ReleaseDescription(Description, frozen=True, kw_only=True):
    """A version of an application that is taking over, or has taken over."""

    app: str = ""
    number: int = 0
    """The number of the release within the application, from 1."""
    environment: str = ""
    version: str = ""
    before: str | None = None
    """The previously deployed version."""
    state: str = ""
    """`starting`, `running` (taking over in steps), `active`, `superseded` or `rolled_back`."""
    percent: float = 0.0
    """The percentage of the callers that it answers."""
    step: int = -1
    """The index into `steps`; -1 while it starts."""
    steps: list[float] = msgspec.field(default_factory=list)
    """The percentages of the steps; empty if it took over at once."""
    gate: str = ""
    min_runs: int = 0
    max_hold_seconds: int | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """The exact versions of its models and its knowledge when the release started."""
    evals: list[str] = msgspec.field(default_factory=list)
    """The ids of the eval runs that it passed before the release."""
    reason: str = ""
    """The reason for its state, with figures."""
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
