"""Proportions: the interval of 95 % around a share that was measured on a sample."""

from math import sqrt
from typing import NamedTuple

_Z = 1.959963984540054
"""The standard score that 95 % of a normal distribution lie within."""


class Interval(NamedTuple):
    low: float
    high: float


def wilson(num_hits: int, num_tries: int) -> Interval:
    """Return the interval of a proportion (Wilson 1927): within 0 and 1, and right for few tries and extreme shares.

    (0, 1) if nothing was tried.
    """
    if num_tries == 0:
        return Interval(0.0, 1.0)
    share, weight = num_hits / num_tries, _Z * _Z / num_tries
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * sqrt(share * (1 - share) / num_tries + weight / (4 * num_tries)) / (1 + weight)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
