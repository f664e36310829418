"""The expected time of a step is learnt from the steps so far, and never too short for a larger one."""

import pytest

from llmos.engine.replica.pace import Pace


def test_nothing_is_estimated_before_the_first_token():
    pace = Pace(512)
    assert pace.step_seconds is None
    pace.record(3.0, 0)  # it failed
    assert pace.step_seconds is None


def test_a_full_step_is_estimated_from_the_largest_one():
    pace = Pace(512)
    pace.record(0.01, 1)
    assert pace.step_seconds == 5.12
    pace.record(0.02, 40)
    assert pace.step_seconds == 0.0005 * 512
    pace.record(0.01, 1)
    assert pace.step_seconds == 0.0005 * 512


def test_a_step_that_took_longer_than_estimated_counts_as_it_was():
    pace = Pace(512)
    pace.record(9.0, 500)
    pace.record(0.01, 10)
    assert pace.step_seconds == pytest.approx(9.0 / 500 * 512)


def test_a_large_step_is_remembered_over_any_number_of_small_ones():
    pace = Pace(512)
    pace.record(0.5, 512)  # the beginning of a prompt
    pace.record(9.0, 512)  # and its end, where each token looks back at thousands
    for _ in range(10_000):
        pace.record(0.01, 1)
    assert pace.step_seconds >= 9.0


def test_a_slow_moment_is_forgotten():
    pace = Pace(512)
    pace.record(9.0, 1)
    for _ in range(1000):
        pace.record(0.01, 10)
    assert pace.step_seconds == pytest.approx(0.001 * 512)
    pace.record(9.0, 512)
    for _ in range(1000):
        pace.record(0.01, 512)
    assert pace.step_seconds == pytest.approx(0.01)
