"""Gates of a rollout: conditions that must hold at each step, and their judgement by the evidence.

    error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.8x and score >= 0.7

error_rate          failed calls as a share of those that were answered or failed
p50_first_token     seconds to the first token: half of the calls are faster; p95 and p99 likewise
p50_seconds         seconds to the whole answer; p95 and p99 likewise
tokens_per_second   after the first token, of all tokens together: their number by the time in which they arrived
score               the share of the rollout's cases that were answered right

A limit is a number (0.01), for a share also a percentage (1%), for a time milliseconds or seconds (800ms, 2s), or a
multiple of the same metric of the main target before (1.5x). A multiple of a time allows 50 ms more in any case.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from llmos.core.errors import BadRequest
from llmos.core.schemas.routes import Spread, TargetEvidence
from llmos.core.suggest import did_you_mean

Verdict = Literal["holds", "fails", "unknown"]

DEFAULT_GATE = "error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.7x"

MIN_FAILURES = 3
"""Failed calls after which a gate on errors may fail before there is enough evidence."""

MIN_RATED_TOKENS = 100
"""Tokens after which their rate is judged."""

MIN_DIFFERENCE_SECONDS = 0.05
"""A time that is a multiple of a few milliseconds is no regression: what the machine does besides takes as long."""

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


def _percentile(
    name: str, spread: Callable[[TargetEvidence], Spread | None]
) -> Callable[[TargetEvidence], float | None]:
    def value(window: TargetEvidence) -> float | None:
        found = spread(window)
        return None if found is None else float(getattr(found, name))

    return value


def _enough_rates(window: TargetEvidence) -> Spread | None:
    return window.tokens_per_second if window.num_timed_tokens >= MIN_RATED_TOKENS else None


_METRICS: Mapping[str, Callable[[TargetEvidence], float | None]] = {
    "error_rate": lambda window: window.error_rate,
    "tokens_per_second": _percentile("mean", _enough_rates),
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
    """The limit is a multiple of the metric of the main target before."""

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
        """The condition on the score needs the score of the main target before."""
        return any(condition.is_relative for condition in self.of_score.conditions)

    @property
    def of_score(self) -> "Gate":
        """The conditions that depend only on the cases."""
        return Gate(tuple(condition for condition in self.conditions if condition.metric == SCORE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measurements of the promoted version, and of the main target before."""

    window: TargetEvidence
    before: Mapping[str, float]
    """The metrics of the main target before, as far as they are known."""
    scores: Mapping[str, float]
    """The scores of "new" and "before", once the cases have been tried."""


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    reason: str
    """The reason in one sentence, with the measured values."""


def parse_gate(text: str) -> Gate:
    """Raises BadRequest, with a suggestion, if the text is not a gate."""
    conditions = []
    for part in re.split(r"\s+and\s+|,", text.strip()):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise BadRequest(
                f"{part.strip()!r} is not a condition; write METRIC <= LIMIT, as in: {DEFAULT_GATE}",
                param="gate",
            )
        metric, unit = match["metric"], match["unit"]
        if metric not in METRICS:
            raise BadRequest(f"There is no metric {metric}. {did_you_mean(metric, METRICS)}", param="gate")
        if unit in ("ms", "s") and not metric.endswith(("_first_token", "_seconds")):
            raise BadRequest(f"{metric} is not a time: write its limit without {unit}.", param="gate")
        limit = float(match["limit"]) * _UNITS[unit]
        condition = Condition(metric, match["operator"], limit, unit == "x")
        _check_limit(condition, part.strip(), unit)
        conditions.append(condition)
    return Gate(tuple(conditions))


def _check_limit(condition: Condition, text: str, unit: str | None) -> None:
    """Raise BadRequest for a limit of the wrong unit, or one that can never hold."""
    is_share = condition.metric in _SHARES
    if unit == "%" and not is_share:
        raise BadRequest(
            f"{condition.metric} is not a share, so its limit can't be in %. Compare it with the version before:"
            f" {condition.metric} {condition.operator} {condition.limit:g}x",
            param="gate",
        )
    if is_share and not condition.is_relative and condition.limit > 1:
        raise BadRequest(
            f"{condition.metric} is a share, 0 to 1: write the limit of {text!r} as in 5% or 0.05.", param="gate"
        )
    is_over_all = is_share and not condition.is_relative and condition.operator == ">" and condition.limit >= 1
    is_under_all = condition.limit == 0 and (condition.operator == "<" or (not is_share and condition.operator == "<="))
    if is_over_all or is_under_all:
        raise BadRequest(f"{text!r} can never hold: write another limit.", param="gate")


def metrics_of(window: TargetEvidence) -> dict[str, float]:
    """Return the metrics that the calls of the window have values for."""
    values = {name: value(window) for name, value in _METRICS.items()}
    return {name: value for name, value in values.items() if value is not None}


def judge(gate: Gate, measured: Measured, min_calls: int) -> Judgement:
    """Judge the gate. There is enough evidence when `min_calls` were answered or failed. Before that, it can only fail:
    by errors that break it even if all missing calls are answered."""
    window = measured.window
    num_judged = window.num_answered + window.num_failed
    judged = []
    for condition in gate.conditions:
        verdict, reason = _judge(condition, measured, num_judged, min_calls)
        if verdict == "fails":
            return Judgement("fails", reason)
        judged.append((verdict, reason))
    unknown = [reason for verdict, reason in judged if verdict == "unknown"]
    if unknown:
        return Judgement("unknown", unknown[0])
    return Judgement("holds", "; ".join(reason for _, reason in judged))


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
                # The error rate if all missing calls were answered.
                at_best = num_failed / min_calls
                if not _OPERATORS[condition.operator](at_best, condition.limit):
                    return "fails", f"{num_failed} of {num_judged} calls failed, which breaks {condition}"
            return "unknown", f"{num_judged} of {min_calls} calls needed to judge {metric}"
    if condition.is_relative and base is None and measured.before and metric != SCORE:
        return "holds", f"{metric} is not compared: the answers of the target before were too short to measure it"
    if value is None:
        return "unknown", f"{metric} has no value yet"
    limit = condition.limit
    if condition.is_relative:
        if base is None:
            return "unknown", f"{metric} of the target before, to compare with, has no value"
        limit *= base
        if metric.endswith(("_first_token", "_seconds")) and condition.operator in ("<", "<="):
            limit = max(limit, base + MIN_DIFFERENCE_SECONDS)
    held = _OPERATORS[condition.operator](value, limit)
    compared = f" ({condition.limit:g} x {base:.4g})" if condition.is_relative else ""
    reason = f"{metric} is {value:.4g}, required {condition.operator} {limit:.4g}{compared}"
    return ("holds" if held else "fails"), reason
