"""Pauses between attempts: they double up to a longest one, however many attempts have failed."""

from collections.abc import Callable

import pytest

from llmos.core.backoff import doubling
from llmos.deployments.cluster import agent
from llmos.deployments.ray import driver_process
from llmos.deployments.replicas import pool


def test_pauses_double_up_to_the_longest() -> None:
    assert [doubling(number, first=0.5, longest=5) for number in (1, 2, 3, 4, 5, 6)] == [0.5, 1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("pause", "longest"),
    [
        (agent.default_backoff_seconds, 5),
        (driver_process.default_backoff_seconds, 10),
        (pool.default_backoff_seconds, 30),
    ],
)
def test_attempts_that_fail_for_days_go_on(pause: Callable[[int], float], longest: float) -> None:
    assert pause(100_000) == longest
