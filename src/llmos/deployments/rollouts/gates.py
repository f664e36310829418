"""Gates of a rollout: what has to hold at each step, and what the evidence says of it.

    error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.8x and score >= 0.7

error_rate          failed calls of those that were answered or failed
p50_first_token     seconds to the first token: half of the calls are faster; p95 and p99 likewise
p50_seconds         of whole answers; p95 and p99 likewise
tokens_per_second   of an answer after its first token, the mean over the calls
score               share of the rollout's cases that were answered right

A limit is a number (0.01), of a share also a percentage (1%), of a time milliseconds or seconds (800ms, 2s), or how it
compares with what answered before (1.5x: half as much again).
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.deployments.rollouts.evidence import Spread, Window

Verdict = Literal["holds", "fails", "unknown"]

DEFAULT_GATE = "error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.7x"

MIN_FAILURES = 3
"""A gate on errors fails before there is enough evidence only after so many."""

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(
    r"\s*(?P<metric>[A-Za-z0-9_]+)\s*(?P<operator><=|>=|<|>)\s*(?P<limit>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>%|ms|s|x)?\s*"
)
_UNITS = {None: 1.0, "%": 0.01, "ms": 0.001, "s": 1.0, "x": 1.0}


def _percentile(name: str, spread: Callable[[Window], Spread | None]) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        found = spread(window)
        return None if found is None else float(getattr(found, name))

    return value


_METRICS: Mapping[str, Callable[[Window], float | None]] = {
    "error_rate": lambda window: window.error_rate,
    "tokens_per_second": _percentile("mean", lambda window: window.tokens_per_second),
    **{f"{p}_first_token": _percentile(p, lambda window: window.first_token_seconds) for p in ("p50", "p95", "p99")},
    **{f"{p}_seconds": _percentile(p, lambda window: window.seconds) for p in ("p50", "p95", "p99")},
}
SCORE = "score"
METRICS = (*_METRICS, SCORE)
_SHARES = ("error_rate", SCORE)


@dataclass(frozen=True, slots=True)
class Condition:
    metric: str
    operator: str
    limit: float
    is_relative: bool
    """The limit is times what the versions before have."""

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.limit:g}{'x' if self.is_relative else ''}"


@dataclass(frozen=True, slots=True)
class Gate:
    conditions: tuple[Condition, ...]

    @property
    def asks_for_score(self) -> bool:
        return bool(self.of_score.conditions)

    @property
    def compares_score(self) -> bool:
        """The score that is wanted depends on that of what answered before."""
        return any(condition.is_relative for condition in self.of_score.conditions)

    @property
    def of_score(self) -> "Gate":
        """The conditions that cases decide alone."""
        return Gate(tuple(condition for condition in self.conditions if condition.metric == SCORE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of the promoted version, and of those that it is to replace."""

    window: Window
    before: Mapping[str, float]
    """The metrics of what answered before, as far as they are known."""
    scores: Mapping[str, float]
    """"new" and "before", once the cases were tried."""


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    reason: str
    """In one sentence, with the numbers."""


def parse_gate(text: str) -> Gate:
    """Raises BadRequest, with what is meant perhaps, for what is no gate."""
    conditions = []
    for part in re.split(r"\s+and\s+|,", text.strip()):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise BadRequest(
                f"{part.strip()!r} is no condition of a gate; one reads METRIC <= LIMIT, as in: {DEFAULT_GATE}",
                param="gate",
            )
        metric, unit = match["metric"], match["unit"]
        if metric not in METRICS:
            meant = nearest(metric, METRICS, limit=1)
            hint = f"Did you mean {meant[0]}?" if meant else f"There is {', '.join(METRICS)}."
            raise BadRequest(f"A gate knows no {metric}. {hint}", param="gate")
        if unit in ("ms", "s") and not metric.endswith(("_first_token", "_seconds")):
            raise BadRequest(f"{metric} is no time: write its limit without {unit}.", param="gate")
        limit = float(match["limit"]) * _UNITS[unit]
        condition = Condition(metric, match["operator"], limit, unit == "x")
        _check_limit(condition, part.strip(), unit)
        conditions.append(condition)
    return Gate(tuple(conditions))


def _check_limit(condition: Condition, spelled: str, unit: str | None) -> None:
    """Raise BadRequest for a limit that says nothing, or that nothing can keep."""
    is_share = condition.metric in _SHARES
    if unit == "%" and not is_share:
        raise BadRequest(
            f"{condition.metric} is no share, so its limit is no %. Compare it with what it was before:"
            f" {condition.metric} {condition.operator} {condition.limit:g}x",
            param="gate",
        )
    if is_share and not condition.is_relative and condition.limit > 1:
        raise BadRequest(f"{condition.metric} is a share, 0 to 1: write {spelled!r} as in 5% or 0.05.", param="gate")
    is_over_all = is_share and not condition.is_relative and condition.operator == ">" and condition.limit >= 1
    is_under_all = condition.limit == 0 and (condition.operator == "<" or (not is_share and condition.operator == "<="))
    if is_over_all or is_under_all:
        raise BadRequest(f"{spelled!r} can never hold: write another limit.", param="gate")


def metrics_of(window: Window) -> dict[str, float]:
    """Return every metric that the window says something about."""
    values = {name: value(window) for name, value in _METRICS.items()}
    return {name: value for name, value in values.items() if value is not None}


def judge(gate: Gate, measured: Measured, min_calls: int) -> Judgement:
    """Say whether the gate holds. Calls count as evidence when there are `min_calls` that were answered or failed;
    errors that would break the gate whatever the missing ones bring count before."""
    window = measured.window
    num_judged = window.num_answered + window.num_failed
    said = []
    for condition in gate.conditions:
        verdict, reason = _judge(condition, measured, num_judged, min_calls)
        if verdict == "fails":
            return Judgement("fails", reason)
        said.append((verdict, reason))
    unknown = [reason for verdict, reason in said if verdict == "unknown"]
    if unknown:
        return Judgement("unknown", unknown[0])
    return Judgement("holds", "; ".join(reason for _, reason in said))


def _judge(condition: Condition, measured: Measured, num_judged: int, min_calls: int) -> tuple[Verdict, str]:
    metric = condition.metric
    if metric == SCORE:
        value, base = measured.scores.get("new"), measured.scores.get("before")
    else:
        value, base = metrics_of(measured.window).get(metric), measured.before.get(metric)
        if num_judged < min_calls:
            num_failed = measured.window.num_failed
            is_ceiling = condition.operator in ("<", "<=") and not condition.is_relative
            if metric == "error_rate" and num_failed >= MIN_FAILURES and is_ceiling:
                # Even if all that are missing were answered.
                at_best = num_failed / min_calls
                if not _OPERATORS[condition.operator](at_best, condition.limit):
                    return "fails", f"{num_failed} of {num_judged} calls failed, and {condition} is wanted"
            return "unknown", f"{num_judged} of {min_calls} calls that {metric} is judged by"
    if value is None:
        return "unknown", f"nothing is known of {metric} yet"
    limit = condition.limit
    if condition.is_relative:
        if base is None:
            return "unknown", f"nothing is known of {metric} before, which it is compared with"
        limit *= base
    held = _OPERATORS[condition.operator](value, limit)
    compared = f" ({condition.limit:g} x {base:.4g})" if condition.is_relative else ""
    reason = f"{metric} is {value:.4g}, wanted {condition.operator} {limit:.4g}{compared}"
    return ("holds" if held else "fails"), reason
