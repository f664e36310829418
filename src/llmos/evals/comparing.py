"""Comparing two models, or a model and a trivial answer, on the same cases."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from llmos.core.errors import BadRequest
from llmos.core.proportions import Interval
from llmos.core.schemas.evals import EvalCaseDescription, EvalComparisonDescription, EvalRunDetails
from llmos.evals.measures import measure
from llmos.evals.statistics import ALPHA, Pairs, cases_needed, count_pairs, mcnemar, newcombe, paired_bootstrap

Relation = Literal["better", "not_worse", "worse", "undecided"]


class Compared(NamedTuple):
    verdict: Relation
    pairs: Pairs
    interval: Interval
    p_value: float
    num_needed: int | None


def compare_pairs(
    results: Sequence[tuple[bool, bool]], *, margin: float | None, rates: Sequence[float] | None = None
) -> Compared:
    """Compare the first of each pair with the second.

    better, worse: the exact McNemar test rejects at 5 %, and the interval of the difference is on one side of 0.
    not_worse: the interval is above -`margin`. Otherwise undecided, with how many cases would decide. The interval is
    the wider of Newcombe's and of the bootstrap over `rates`, the differences of repeats that pass.
    """
    pairs = count_pairs(results)
    interval, p_value = _interval(pairs, rates), mcnemar(pairs)
    verdict = _relation(interval, p_value, margin)
    needed = None
    if verdict == "undecided":

        def is_decided(factor: float) -> bool:
            more = pairs.scaled(factor)
            return _relation(newcombe(more), mcnemar(more), margin) != "undecided"

        needed = cases_needed(pairs.num_cases, is_decided)
    return Compared(verdict, pairs, interval, p_value, needed)


def compare_models(
    first: Sequence[EvalCaseDescription], second: Sequence[EvalCaseDescription], margin: float
) -> EvalComparisonDescription:
    """Compare two models on the cases that both have answers to."""
    others = {case.id: case for case in second if case.state != "error"}
    both = [(case, others[case.id]) for case in first if case.state != "error" and case.id in others]
    results = [(one.state == "passed", other.state == "passed") for one, other in both]
    rates = [one.num_passed / one.num_tries - other.num_passed / other.num_tries for one, other in both]
    found = compare_pairs(results, margin=margin, rates=rates)
    names = first[0].model if first else "", second[0].model if second else ""
    return EvalComparisonDescription(
        first=names[0],
        second=names[1],
        verdict=found.verdict,
        not_worse_by=margin,
        difference=found.pairs.difference,
        low=found.interval.low,
        high=found.interval.high,
        p_value=found.p_value,
        both=found.pairs.both,
        only_first=found.pairs.only_first,
        only_second=found.pairs.only_second,
        neither=found.pairs.neither,
        num_needed=found.num_needed,
        sentence=_sentence(names, found, margin),
        measures=measure(first, second),
    )


def _interval(pairs: Pairs, rates: Sequence[float] | None) -> Interval:
    low, high = newcombe(pairs)
    if rates:
        other = paired_bootstrap(rates)
        low, high = min(low, other.low), max(high, other.high)
    return Interval(low, high)


def _relation(interval: Interval, p_value: float, margin: float | None) -> Relation:
    if p_value < ALPHA and interval.low > 0:
        return "better"
    if p_value < ALPHA and interval.high < 0:
        return "worse"
    if margin is not None and interval.low >= -margin:
        return "not_worse"
    return "undecided"


def _sentence(names: tuple[str, str], found: Compared, margin: float) -> str:
    what = {
        "better": "is better than",
        "worse": "is worse than",
        "not_worse": f"is not worse by {margin:.0%} than",
        "undecided": "may be better or worse than",
    }[found.verdict]
    points = f"{100 * found.pairs.difference:+.1f} points"
    interval = f"{100 * found.interval.low:+.1f} to {100 * found.interval.high:+.1f}"
    pairs = found.pairs
    counts = f"{pairs.only_first} cases pass with it alone, {pairs.only_second} with {names[1]} alone"
    text = f"{names[0]} {what} {names[1]}: {points} ({interval}, p = {found.p_value:.3g}); {counts}."
    return f"{text} {needed_sentence(found.num_needed)}" if found.verdict == "undecided" else text


def needed_sentence(num_needed: int | None) -> str:
    """Return how many cases would decide."""
    if num_needed is None:
        return "No number of cases like these would decide."
    return f"About {num_needed:,} cases like these would decide."


def compare_runs(first: EvalRunDetails, second: EvalRunDetails, margin: float) -> EvalComparisonDescription:
    """Compare the first models of two runs on the cases that both have, by their ids."""
    cases = [[case for case in run.cases if case.model == run.models[0]] for run in (first, second)]
    if not {case.id for case in cases[0]} & {case.id for case in cases[1]}:
        raise BadRequest(f"{first.id} and {second.id} have no case in common. Compare runs of the same suite.")
    return compare_models(cases[0], cases[1], margin)
