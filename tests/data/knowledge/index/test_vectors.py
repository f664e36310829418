"""The exact vector part: equal to brute force in double precision, also among equals and with rows left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.data.knowledge.index.vectors import nearest_rows, query_vector
from support.examples import examples
from support.search_indexes import unit_vectors


@settings(max_examples=examples(150), deadline=None)
@given(
    count=st.integers(1, 400),
    num_dims=st.sampled_from([1, 3, 16, 384]),
    num_different=st.sampled_from([1, 5, 400]),
    share_allowed=st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]),
    limit=st.integers(1, 500),
    seed=st.integers(0, 1000),
)
def test_the_nearest_rows_are_those_of_brute_force(
    count: int, num_dims: int, num_different: int, share_allowed: float | None, limit: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    vectors = unit_vectors(num_different, num_dims, seed)[chance.integers(0, num_different, count)]
    allowed = None if share_allowed is None else chance.random(count) < share_allowed
    query = query_vector(unit_vectors(1, num_dims, seed + 1)[0], num_dims)
    products = (vectors.astype(np.float64) * query).sum(axis=1)
    rows = np.arange(count) if allowed is None else np.flatnonzero(allowed)
    expected = rows[np.lexsort((rows, -products[rows]))][:limit].tolist()
    assert nearest_rows(vectors, query, limit, allowed) == [(row, products[row]) for row in expected]


def test_rows_that_single_precision_confuses_are_ordered() -> None:
    query = np.array([1.0] + [0.0] * 383)
    steps = np.arange(64) * 2e-9
    vectors = np.zeros((64, 384), np.float32)
    vectors[:, 0], vectors[:, 1] = 1.0, np.sqrt(steps)  # In single precision, all products are 1.
    tilted = query + np.array([0, 1e-4] + [0.0] * 382)
    found = nearest_rows(vectors, query_vector(tilted, 384), 10)
    assert [row for row, _ in found] == list(range(63, 53, -1))


def test_a_query_of_any_length_is_a_direction() -> None:
    assert np.linalg.norm(query_vector([3, 4], 2)) == pytest.approx(1)
    assert query_vector([3e-200, 4e-200], 2) == pytest.approx([0.6, 0.8])
    assert query_vector([3e200, 4e200], 2) == pytest.approx([0.6, 0.8])
