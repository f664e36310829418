"""Intervals: known values, and the same ones in every run."""

import numpy as np
import pytest

from llmos.data.knowledge.evaluation.intervals import bootstrap, wilson


@pytest.mark.parametrize(
    ("num_hits", "num_tries", "low", "high"),
    [(36, 40, 0.7695, 0.9604), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 2, 0.0945, 0.9055), (0, 0, 0, 1)],
)
def test_wilsons_interval_has_the_values_of_the_tables(num_hits: int, num_tries: int, low: float, high: float) -> None:
    assert wilson(num_hits, num_tries) == pytest.approx((low, high), abs=5e-5)


def test_a_bootstrap_covers_what_the_central_limit_theorem_says_and_is_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=400)
    interval = bootstrap(400, lambda indexes: float(values[indexes].mean()))
    half = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert bootstrap(400, lambda indexes: float(values[indexes].mean())) == interval
