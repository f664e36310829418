"""Intervals of 95 % around what was measured on a sample of questions."""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Z = 1.959963984540054
"""The standard score that 95 % of a normal distribution lie within."""

NUM_RESAMPLES = 2_000
_SEED = 20_240_115

Indexes = npt.NDArray[np.intp]


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


def bootstrap(num_cases: int, statistic: Callable[[Indexes], float]) -> Interval:
    """Return the percentile interval of a statistic over cases that are drawn again, with replacement.

    `statistic`: its value over the cases with these indexes. The seed is fixed: the same cases give the same interval.
    """
    random = np.random.default_rng(_SEED)
    values = [statistic(random.integers(num_cases, size=num_cases)) for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
