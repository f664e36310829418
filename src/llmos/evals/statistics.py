"""Tests and intervals of paired results: is one version better than another on the same cases?

Nothing here needs more than the standard library: applications on other machines use it, too.
"""

import random
from collections.abc import Callable, Sequence
from math import comb, sqrt
from typing import NamedTuple

from llmos.core.proportions import Interval, wilson

NUM_RESAMPLES = 2_000
ALPHA = 0.05
MAX_NEEDED = 1_000_000
"""More cases than this aren't a suite: then no number is given."""

_SEED = 20_240_115


class Pairs(NamedTuple):
    """The numbers of cases that two versions both pass, both fail, or differ on."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def num_cases(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """The share that the first passes, less that of the second."""
        return (self.only_first - self.only_second) / self.num_cases if self.num_cases else 0.0

    def scaled(self, factor: float) -> "Pairs":
        """Return what more cases would give if they went as these did."""
        return Pairs(*(round(each * factor) for each in self))


def count_pairs(results: Sequence[tuple[bool, bool]]) -> Pairs:
    """Count (first passes, second passes) of each case."""
    counts = [results.count(each) for each in ((True, True), (True, False), (False, True), (False, False))]
    return Pairs(*counts)


def mcnemar(pairs: Pairs) -> float:
    """Return the two-sided p value of the exact McNemar test: of the cases that only one passes, is it a coin's toss?

    1.0 if both versions pass the same cases.
    """
    num, few = pairs.only_first + pairs.only_second, min(pairs.only_first, pairs.only_second)
    if num == 0:
        return 1.0
    if num > 1_000:  # The exact sum has numbers of a thousand bits; the normal approximation is right to 4 digits.
        return _normal_two_sided(max(0.0, num - 2 * few - 1) / sqrt(num))
    tail: float = sum(comb(num, k) for k in range(few + 1)) / 2**num
    return min(1.0, 2 * tail)


def newcombe(pairs: Pairs) -> Interval:
    """Return the interval of 95 % of the difference of two paired shares (Newcombe 1998, method 10).

    Unlike a bootstrap, it stays wide where few cases were asked and both versions passed the same ones.
    """
    n = pairs.num_cases
    if n == 0:
        return Interval(-1.0, 1.0)
    first, second = pairs.both + pairs.only_first, pairs.both + pairs.only_second
    p1, p2 = first / n, second / n
    (low1, high1), (low2, high2) = wilson(first, n), wilson(second, n)
    margins = first * (n - first) * second * (n - second)
    phi = 0.0
    if margins:
        excess = pairs.both * pairs.neither - pairs.only_first * pairs.only_second
        phi = (max(0.0, excess - n / 2) if excess > 0 else excess) / sqrt(margins)
    below = (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2
    above = (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2
    low, high = pairs.difference - sqrt(max(0.0, below)), pairs.difference + sqrt(max(0.0, above))
    return Interval(max(-1.0, low), min(1.0, high))


def paired_bootstrap(differences: Sequence[float]) -> Interval:
    """Return the percentile interval of 95 % of the mean difference over cases that are drawn again, with replacement.

    `differences`: of each case, the share of repeats that the first passes less that of the second. The seed is fixed:
    the same cases give the same interval.
    """
    if not differences:
        return Interval(-1.0, 1.0)
    if len(set(differences)) == 1:
        return Interval(differences[0], differences[0])
    drawn = random.Random(_SEED)  # noqa: S311  No secret.
    n = len(differences)
    means = sorted(sum(drawn.choices(differences, k=n)) / n for _ in range(NUM_RESAMPLES))
    return Interval(means[round(0.025 * (NUM_RESAMPLES - 1))], means[round(0.975 * (NUM_RESAMPLES - 1))])


def cohens_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Return the agreement of a judge with labels beyond chance. None where it is undefined: nothing was judged, or the
    labels are all the same, so that a constant answer would agree as well."""
    n = len(pairs)
    if not n or len({label for _, label in pairs}) == 1:
        return None
    observed = sum(judged == label for judged, label in pairs) / n
    yes_judged, yes_label = sum(judged for judged, _ in pairs) / n, sum(label for _, label in pairs) / n
    expected = yes_judged * yes_label + (1 - yes_judged) * (1 - yes_label)
    return (observed - expected) / (1 - expected)


def cases_needed(num_cases: int, is_decided: Callable[[float], bool]) -> int | None:
    """Return how many cases would decide if further ones went as these did; None if more than a million.

    `is_decided`: asked with how many times as many cases as there are.
    """
    if num_cases == 0:
        return None
    factor = 1.0
    while num_cases * factor <= MAX_NEEDED:
        factor *= 1.1
        if is_decided(factor):
            return round(num_cases * factor)
    return None


def _normal_two_sided(z: float) -> float:
    from math import erfc

    return erfc(z / sqrt(2))
