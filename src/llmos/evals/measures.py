"""Measures of two versions beside the share that passes: how alike their answers are, their seconds and their cost.

Each pair is one case that both answered. The interval is that of a bootstrap over cases; below MIN_PAIRS of them it
says nothing, since a bootstrap of few cases is too narrow.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from llmos.core.proportions import wilson
from llmos.core.schemas.evals import EvalAnswerDescription, EvalCaseDescription, EvalMeasureDescription
from llmos.evals.checks.chrf import chrf
from llmos.evals.statistics import paired_bootstrap

MIN_PAIRS = 10
MARGIN = 0.1
"""Seconds and cost may be larger by this share of the other version's."""
_ALIKE = 0.8
"""The least chrF of answers that say the same."""

Pair = tuple[EvalAnswerDescription, EvalAnswerDescription]


class _Figure(NamedTuple):
    """A figure of an answer that should be small."""

    name: str
    unit: str
    less: str
    more: str
    of: Callable[[EvalAnswerDescription], float | None]


def measure(
    first: Sequence[EvalCaseDescription], second: Sequence[EvalCaseDescription]
) -> list[EvalMeasureDescription]:
    """Return the measures of the first version beside the second, of the cases that both answered."""
    pairs = _pairs(first, second)
    if not pairs:
        return []
    names = first[0].model, second[0].model
    found = [_compare(figure, pairs, names) for figure in _FIGURES]
    return [_agreement(pairs), *(each for each in found if each is not None)]


def _pairs(first: Sequence[EvalCaseDescription], second: Sequence[EvalCaseDescription]) -> list[Pair]:
    others = {case.id: case for case in second}
    return [
        (one, other)
        for case in first
        if case.id in others
        for one in case.answers
        for other in others[case.id].answers
        if one.repeat == other.repeat and one.version and other.version
    ]


def _agreement(pairs: Sequence[Pair]) -> EvalMeasureDescription:
    num_alike = sum(_are_alike(one.text, other.text) for one, other in pairs)
    low, high = wilson(num_alike, len(pairs))
    share = num_alike / len(pairs)
    return EvalMeasureDescription(
        name="agreement",
        num_pairs=len(pairs),
        first=share,
        second=share,
        low=low,
        high=high,
        verdict="none",
        sentence=f"{num_alike} of {len(pairs)} pairs of answers are alike: {share:.0%} ({low:.0%} to {high:.0%}).",
    )


def _are_alike(one: str, other: str) -> bool:
    one, other = " ".join(one.split()), " ".join(other.split())
    return one == other or chrf(one, other) >= _ALIKE


def _compare(figure: _Figure, pairs: Sequence[Pair], names: tuple[str, str]) -> EvalMeasureDescription | None:
    """Return the comparison of a figure; None where answers don't have it."""
    values = [(figure.of(one), figure.of(other)) for one, other in pairs]
    known = [(one, other) for one, other in values if one is not None and other is not None]
    if not known:
        return None
    first, second = (sum(each) / len(known) for each in zip(*known, strict=True))
    low, high = paired_bootstrap([one - other for one, other in known])
    verdict = _verdict(len(known), low, high, MARGIN * second)
    return EvalMeasureDescription(
        name=figure.name,
        unit=figure.unit,
        num_pairs=len(known),
        first=first,
        second=second,
        low=low,
        high=high,
        verdict=verdict,
        sentence=_sentence(figure, verdict, len(known), (first, second), names),
    )


def _verdict(num: int, low: float, high: float, margin: float) -> Literal["better", "not_worse", "worse", "undecided"]:
    if num < MIN_PAIRS:
        return "undecided"
    if high < 0:
        return "better"
    if low > margin or (low > 0 and not margin):
        return "worse"
    return "not_worse" if high <= margin else "undecided"


def _sentence(figure: _Figure, verdict: str, num: int, means: tuple[float, float], names: tuple[str, str]) -> str:
    first, second = (f"{mean:.3g} {figure.unit}".rstrip() for mean in means)
    what = {
        "better": f"{names[0]} {figure.less} than {names[1]}",
        "worse": f"{names[0]} {figure.more} than {names[1]}",
        "not_worse": f"{names[0]} {figure.more} than {names[1]} by {MARGIN:.0%} at most",
        "undecided": f"Whether {names[0]} {figure.more} than {names[1]} is undecided",
    }[verdict]
    few = f" {num} answers are too few; {MIN_PAIRS} are needed." if num < MIN_PAIRS else ""
    return f"{what}: {first} on average, and {second}.{few}"


def _cost(answer: EvalAnswerDescription) -> float | None:
    return float(answer.cost) if answer.cost else None


_FIGURES = (
    _Figure("seconds", "s", "answers sooner", "answers later", lambda answer: answer.seconds),
    _Figure("output_tokens", "tokens", "writes less", "writes more", lambda answer: float(answer.num_output_tokens)),
    _Figure("cost", "", "costs less", "costs more", _cost),
)
