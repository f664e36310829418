"""Proportions: intervals with known values."""

import pytest

from llmos.core.proportions import wilson


@pytest.mark.parametrize(
    ("num_hits", "num_tries", "low", "high"),
    [(36, 40, 0.7695, 0.9604), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 2, 0.0945, 0.9055), (0, 0, 0, 1)],
)
def test_wilsons_interval_has_the_values_of_the_tables(num_hits: int, num_tries: int, low: float, high: float) -> None:
    assert wilson(num_hits, num_tries) == pytest.approx((low, high), abs=5e-5)
