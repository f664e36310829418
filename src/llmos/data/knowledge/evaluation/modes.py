"""The default mode of searches: hybrid, unless another mode is clearly better on the same questions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llmos.core.proportions import Interval
from llmos.data.knowledge.evaluation.intervals import bootstrap
from llmos.data.knowledge.evaluation.judging import Judged
from llmos.data.knowledge.evaluation.threshold import MIN_CASES
from llmos.data.knowledge.index import Mode

Scores = npt.NDArray[np.float64]

DEPTH = 5
"""The hits among which an answer counts as found."""


class DefaultMode(NamedTuple):
    mode: Mode
    reason: str | None
    """The measured advantage of the mode; None for hybrid."""


class _Gain(NamedTuple):
    """The difference of a mean score between a mode and hybrid, on the same questions."""

    before: float
    after: float
    interval: Interval

    @property
    def value(self) -> float:
        return self.after - self.before


def choose_mode(judged: Sequence[Judged]) -> DefaultMode:
    """Return the mode that searches use if none is asked for.

    Another mode than hybrid needs MIN_CASES answerable questions and a paired bootstrap whose interval lies above 0,
    of recall@5 or of the reciprocal rank, while the other one doesn't lie below 0.
    """
    answerable = [each for each in judged if each.is_answerable]
    if len(answerable) < MIN_CASES:
        return DefaultMode("hybrid", None)
    gains = {mode: _gains(answerable, mode) for mode in _ALTERNATIVES}
    better = [mode for mode, found in gains.items() if _is_better(found)]
    if not better:
        return DefaultMode("hybrid", None)
    best = max(better, key=lambda mode: [gain.value for gain in gains[mode]])
    return DefaultMode(best, _reason(best, *gains[best]))


def found_within(answerable: Sequence[Judged], mode: Mode, depth: int) -> Scores:
    """Return 1 for each question whose answer is among the first `depth` hits, and 0 for the others."""
    ranks = [each.outcomes[mode].rank for each in answerable]
    return np.array([rank is not None and rank <= depth for rank in ranks], np.float64)


def reciprocal_ranks(answerable: Sequence[Judged], mode: Mode) -> Scores:
    """Return 1 / rank of the first right hit for each question; 0 where no hit is right."""
    ranks = [each.outcomes[mode].rank for each in answerable]
    return np.array([0.0 if rank is None else 1 / rank for rank in ranks], np.float64)


_ALTERNATIVES: tuple[Mode, ...] = ("text", "vector")


def _gains(answerable: Sequence[Judged], mode: Mode) -> tuple[_Gain, _Gain]:
    """Return the gains of recall@5 and of the reciprocal rank."""
    return (
        _gain(found_within(answerable, "hybrid", DEPTH), found_within(answerable, mode, DEPTH)),
        _gain(reciprocal_ranks(answerable, "hybrid"), reciprocal_ranks(answerable, mode)),
    )


def _gain(before: Scores, after: Scores) -> _Gain:
    difference = after - before
    interval = bootstrap(len(difference), lambda indexes: float(difference[indexes].mean()))
    return _Gain(float(before.mean()), float(after.mean()), interval)


def _is_better(gains: Sequence[_Gain]) -> bool:
    """Return whether one gain is certain, and no other one is a certain loss."""
    return any(gain.interval.low > 0 for gain in gains) and all(gain.interval.high >= 0 for gain in gains)


def _reason(mode: Mode, recall: _Gain, rank: _Gain) -> str:
    if recall.interval.low > 0:
        low, high = (round(100 * end) for end in recall.interval)
        return (
            f"The {mode} part alone finds more: recall@{DEPTH} is {100 * recall.after:.0f} % instead of"
            f" {100 * recall.before:.0f} % with both parts, {low} to {high} percentage points more"
        )
    return (
        f"The {mode} part alone ranks better: the mean reciprocal rank is {rank.after:.2f} instead of"
        f" {rank.before:.2f} with both parts, {rank.interval.low:.2f} to {rank.interval.high:.2f} more"
    )
