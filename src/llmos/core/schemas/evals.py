"""Evals: runs of suites, the share of cases that pass, comparisons, gates and the verdict."""

from datetime import datetime
from typing import Literal

import msgspec

from llmos.core.schemas.base import Description

Verdict = Literal["passed", "failed", "undecided", "could_not_run"]

EXIT_STATUSES: dict[str, int] = {"passed": 0, "failed": 4, "undecided": 5, "could_not_run": 1}


class EvalCheckDescription(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    holds: bool
    text: str
    """The finding: "it lacks 'two years'"."""
    weight: float = 1.0
    """0 for a check that is shown but doesn't count, such as the opinion of a judge that isn't trusted."""


class EvalAnswerDescription(msgspec.Struct, frozen=True, kw_only=True):
    repeat: int = 0
    text: str = ""
    passed: bool | None = None
    """null for an error: there is no answer to judge."""
    error: str = ""
    version: str = ""
    seconds: float = 0.0
    num_output_tokens: int = 0
    cost: str = ""
    checks: list[EvalCheckDescription] = msgspec.field(default_factory=list)


class EvalCaseDescription(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    model: str = ""
    state: Literal["passed", "failed", "error"] = "error"
    """failed: at least one repeat failed. error: no repeat has an answer to judge."""
    num_passed: int = 0
    num_tries: int = 0
    """The number of repeats that have an answer to judge."""
    low: float = 0.0
    """The lower end of the 95 % interval of the share of repeats that pass."""
    high: float = 1.0
    reason: str = ""
    """The reason that the first failed answer failed."""
    answers: list[EvalAnswerDescription] = msgspec.field(default_factory=list)


class EvalBaselineDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The trivial answer that passes most cases, without any model."""

    name: str = ""
    num_passed: int = 0
    num_cases: int = 0
    """The number of cases that it can be judged on: those whose checks need no model and run no program."""
    verdict: Literal["better", "worse", "undecided"] = "undecided"
    """The verdict on the model, compared with this baseline on the same cases."""
    num_needed: int | None = None


class EvalResultDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one model."""

    model: str = ""
    versions: list[str] = msgspec.field(default_factory=list)
    """The versions that answered."""
    num_cases: int = 0
    num_passed: int = 0
    num_failed: int = 0
    num_errors: int = 0
    share: float = 0.0
    """`num_passed` divided by the number of cases with an answer."""
    low: float = 0.0
    high: float = 1.0
    rate: float = 0.0
    """The mean over cases of the share of their repeats that pass."""
    baseline: EvalBaselineDescription = msgspec.field(default_factory=EvalBaselineDescription)
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    cost: str = ""
    currency: str = ""


class EvalMeasureDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of two models on the same cases, of which less is better; or `agreement`, the share of alike answers."""

    name: str = ""
    """agreement, seconds, output_tokens or cost."""
    unit: str = ""
    num_pairs: int = 0
    """The number of pairs of answers that are compared."""
    first: float = 0.0
    """The mean of the first model's answers."""
    second: float = 0.0
    low: float = 0.0
    """The lower end of the 95 % interval of the mean difference; for `agreement`, of the share."""
    high: float = 0.0
    verdict: Literal["better", "not_worse", "worse", "undecided", "none"] = "undecided"
    """The verdict on the first model. not_worse: larger by a tenth at most. none: there is nothing to judge."""
    sentence: str = ""


class EvalComparisonDescription(Description, frozen=True, kw_only=True):
    """Two models on the same cases."""

    first: str = ""
    second: str = ""
    verdict: Literal["better", "not_worse", "worse", "undecided"] = "undecided"
    """The verdict on the first model."""
    not_worse_by: float = 0.05
    difference: float = 0.0
    low: float = -1.0
    high: float = 1.0
    p_value: float = 1.0
    """The p-value of the exact McNemar test."""
    both: int = 0
    only_first: int = 0
    only_second: int = 0
    neither: int = 0
    num_needed: int | None = None
    """The number of cases that would decide an undecided comparison if further cases had the same results as these."""
    sentence: str = ""
    measures: list[EvalMeasureDescription] = msgspec.field(default_factory=list)
    """The agreement of the two models' answers, and comparisons of their seconds, tokens and cost."""


class EvalGateDescription(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    state: Literal["passed", "failed", "undecided"] = "undecided"
    sentence: str = ""
    num_needed: int | None = None


class EvalJudgeDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A judge, and how far it agrees with persons."""

    name: str = ""
    version: str = ""
    num_labelled: int = 0
    num_agreed: int = 0
    kappa: float | None = None
    is_trusted: bool = False
    """Only the opinions of a judge with a kappa of 0.6 or more count."""


class EvalRunDescription(Description, frozen=True, kw_only=True):
    """A run of a suite. Lists of runs leave out the cases."""

    id: str = ""
    project: str = ""
    suite: str = ""
    suite_digest: str = ""
    source: str = ""
    """The Version of the dataset with the cases; empty for a file."""
    state: Literal["unfinished", "finished"] = "unfinished"
    job: str | None = None
    """The job that runs it on a server."""
    models: list[str] = msgspec.field(default_factory=list)
    num_repeats: int = 1
    num_cases: int = 0
    num_done: int = 0
    """The number of answers so far."""
    num_total: int = 0
    """The number of answers when the run has finished."""
    verdict: Verdict | None = None
    results: list[EvalResultDescription] = msgspec.field(default_factory=list)
    comparison: EvalComparisonDescription | None = None
    gates: list[EvalGateDescription] = msgspec.field(default_factory=list)
    judges: list[EvalJudgeDescription] = msgspec.field(default_factory=list)
    actor: str | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def exit_status(self) -> int:
        """0 passed, 4 a gate failed, 5 undecided, 1 could not run."""
        return EXIT_STATUSES[self.verdict or "could_not_run"]


class EvalRunDetails(EvalRunDescription, frozen=True, kw_only=True):
    cases: list[EvalCaseDescription] = msgspec.field(default_factory=list)
    """Each case of each model, in the order of the suite."""
