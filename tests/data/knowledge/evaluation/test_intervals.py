"""Intervals of statistics: the same ones in every run."""

import numpy as np
import pytest

from llmos.data.knowledge.evaluation.intervals import bootstrap


def test_a_bootstrap_covers_what_the_central_limit_theorem_says_and_is_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=400)
    interval = bootstrap(400, lambda indexes: float(values[indexes].mean()))
    half = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert bootstrap(400, lambda indexes: float(values[indexes].mean())) == interval
