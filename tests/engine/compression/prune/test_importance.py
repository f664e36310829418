"""Scores of a model's parts, checked by hand or by the properties of least squares."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from llmos.engine.compression.calibration import moments
from llmos.engine.compression.prune.importance import (
    block_influence,
    columns_importance,
    groups_importance,
    highest,
    refit,
)

seeds = st.integers(0, 1000)


def some(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_layer_that_scales_has_no_influence_and_one_that_reverses_has_the_most():
    x = some(0, 50, 8)
    assert abs(block_influence(x, 3 * x)) < 1e-6
    assert abs(block_influence(x, -x) - 2) < 1e-6
    assert abs(block_influence(np.array([[1, 0]], np.float32), np.array([[0, 2]], np.float32)) - 1) < 1e-6


@given(seeds)
def test_importance_is_the_mean_square_of_a_parts_contribution(seed):
    x, weights = some(seed, 40, 12) * np.arange(1, 13, dtype=np.float32), some(seed + 1, 5, 12)
    columns = columns_importance(weights, moments(x))
    groups = groups_importance(weights, moments(x), 3)
    for c in range(12):
        np.testing.assert_allclose(columns[c], np.square(np.outer(x[:, c], weights[:, c])).sum(1).mean(), rtol=1e-3)
    for g in range(3):
        part = slice(4 * g, 4 * g + 4)
        np.testing.assert_allclose(groups[g], np.square(x[:, part] @ weights[:, part].T).sum(1).mean(), rtol=1e-3)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_the_highest_are_kept_and_of_equals_the_first(values, data):
    count = data.draw(st.integers(1, len(values)))
    kept = highest(np.array(values, np.float64), count)
    assert kept.sum() == count
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert np.flatnonzero(kept).tolist() == sorted(expected)


@given(seeds, st.floats(1e-3, 3))
def test_refitted_weights_never_have_more_error_than_merely_cut_ones(seed, damping):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(60, 6)) @ rng.normal(size=(6, 10))).astype(np.float32)  # columns that know of each other
    weights, kept = some(seed, 4, 10), np.arange(10) % 3 != 0
    exact = x @ weights.T
    cut = np.square(x[:, kept] @ weights[:, kept].T - exact).sum()
    refitted = np.square(x[:, kept] @ refit(weights, moments(x), kept, damping).T - exact).sum()
    assert refitted <= cut * (1 + 1e-4)


def test_columns_that_depend_on_others_are_made_up_for():
    x = some(0, 100, 4)
    x[:, 3] = x[:, 0] + 2 * x[:, 1]
    weights, kept = some(1, 5, 4), np.array([True, True, True, False])
    refitted = refit(weights, moments(x), kept, 1e-6)
    np.testing.assert_allclose(x[:, kept] @ refitted.T, x @ weights.T, atol=1e-3)


def test_zero_inputs_leave_the_weights_unchanged():
    weights, kept = some(0, 5, 4), np.array([True, True, True, False])
    np.testing.assert_array_equal(refit(weights, np.zeros((4, 4), np.float32), kept, 0.1), weights[:, kept])
