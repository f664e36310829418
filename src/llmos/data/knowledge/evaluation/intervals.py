"""Intervals of 95 % around statistics that were measured on a sample of questions."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llmos.core.proportions import Interval

NUM_RESAMPLES = 2_000
_SEED = 20_240_115

Indexes = npt.NDArray[np.intp]


def bootstrap(num_cases: int, statistic: Callable[[Indexes], float]) -> Interval:
    """Return the percentile interval of a statistic over cases that are drawn again, with replacement.

    `statistic`: its value over the cases with these indexes. The seed is fixed: the same cases give the same interval.
    """
    random = np.random.default_rng(_SEED)
    values = [statistic(random.integers(num_cases, size=num_cases)) for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
