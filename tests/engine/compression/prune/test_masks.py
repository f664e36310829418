"""Masks keep exactly the requested number of weights; Wanda equals magnitude if all inputs are alike."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from llmos.engine.compression.prune.masks import keep_share, keep_two_of_four, magnitude, wanda


def matrices(columns: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    """Return a matrix of few different values, so that many are equal."""
    return st.builds(
        lambda seed, rows, columns: np.random.default_rng(seed).integers(-3, 4, (rows, columns)).astype(np.float32),
        st.integers(0, 1000), st.integers(1, 6), columns,
    )  # fmt: skip


weights = matrices(st.integers(1, 40))
fours = matrices(st.integers(1, 10).map(lambda n: 4 * n))


@given(weights, st.floats(0, 1))
def test_every_row_loses_exactly_the_share_with_the_lowest_scores(values, sparsity):
    scores = magnitude(values)
    kept = keep_share(scores, sparsity)
    num_columns = values.shape[1]
    assert (kept.sum(axis=1) == num_columns - round(sparsity * num_columns)).all()
    for row, stays in zip(scores, kept, strict=True):
        if stays.any() and not stays.all():
            assert row[~stays].max() <= row[stays].min()


@given(fours)
def test_the_highest_two_of_every_four_are_kept(values):
    scores = magnitude(values)
    kept = keep_two_of_four(scores).reshape(-1, 4)
    assert (kept.sum(axis=1) == 2).all()
    groups = scores.reshape(-1, 4)
    assert (np.where(kept, groups, -1).sum(axis=1) == np.sort(groups, axis=1)[:, 2:].sum(axis=1) - 2).all()


@given(weights, st.floats(0, 1), st.floats(0.125, 8, width=32))
def test_wanda_with_uniform_norms_is_magnitude(values, sparsity, norm):
    norms = np.full(values.shape[1], norm, np.float32)
    np.testing.assert_array_equal(keep_share(wanda(values, norms), sparsity), keep_share(magnitude(values), sparsity))


def test_wanda_keeps_a_small_weight_whose_input_is_large():
    values = np.array([[0.1, -0.2, 0.3, -0.4]], np.float32)
    kept = keep_share(wanda(values, np.array([10, 1, 1, 1], np.float32)), 0.5)
    assert kept.tolist() == [[True, False, False, True]]
