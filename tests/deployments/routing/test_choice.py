"""The choice of a target by weight."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.deployments.routing.choice import choose

NUM_KEYS = 10_000
KEYS = [f"user-{number}" for number in range(NUM_KEYS)]

percents = st.lists(st.integers(1, 100), min_size=2, max_size=5).map(
    lambda parts: {f"model-{i}@1": 100 * part / sum(parts) for i, part in enumerate(parts)}
)


@pytest.mark.parametrize(
    "shares", [{"a": 95, "b": 5}, {"a": 50, "b": 50}, {"a": 99.9, "b": 0.1}, {"a": 60, "b": 30, "c": 10}]
)
def test_every_target_gets_its_share(shares):
    chosen = [choose(shares, key) for key in KEYS]
    for target, percent in shares.items():
        share = percent / 100
        deviation = sqrt(NUM_KEYS * share * (1 - share))
        assert abs(chosen.count(target) - NUM_KEYS * share) < 5 * deviation


@given(shares=percents, key=st.text())
def test_a_key_always_gets_the_same_target_in_any_order_of_targets(shares, key):
    assert choose(shares, key) == choose(dict(reversed(shares.items())), key)


@given(before=st.integers(1, 98), grown=st.integers(1, 98), key=st.text())
def test_a_key_moves_only_to_the_target_that_has_grown(before, grown, key):
    after = min(99, before + grown)
    first, then = (choose({"old": 100 - percent, "new": percent}, key) for percent in (before, after))
    assert first == then or (first, then) == ("old", "new")


@given(first=percents, second=percents, key=st.text())
def test_a_key_never_moves_to_a_target_that_has_not_grown_relative_to_its_own(first, second, key):
    was, now = choose(first, key), choose(second, key)
    if now != was and was in second and now in first:
        assert second[now] / second[was] > first[now] / first[was]


def test_from_5_to_25_percent_a_fifth_of_the_keys_moves():
    moved = sum(choose({"a": 95, "b": 5}, key) != choose({"a": 75, "b": 25}, key) for key in KEYS)
    assert abs(moved - NUM_KEYS * 0.2) < 5 * sqrt(NUM_KEYS * 0.2 * 0.8)


def test_a_removed_target_moves_only_its_own_keys():
    for key in KEYS[:2000]:
        before = choose({"a": 50, "b": 30, "c": 20}, key)
        if before != "c":
            assert choose({"a": 62.5, "b": 37.5}, key) == before
