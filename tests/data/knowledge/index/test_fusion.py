"""Reciprocal rank fusion: its definition, and ties."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.data.knowledge.index.fusion import join_ranks
from support.examples import examples

RANKED = st.lists(st.integers(0, 30), unique=True, max_size=20)


@settings(max_examples=examples(200))
@given(RANKED, RANKED)
def test_an_item_scores_the_sum_of_its_reciprocal_ranks(first: list[int], second: list[int]) -> None:
    expected = {
        item: sum(Fraction(1, 61 + ranked.index(item)) for ranked in (first, second) if item in ranked)
        for item in {*first, *second}
    }
    joined = join_ranks(first, second)
    assert [item for item, _ in joined] == sorted(expected, key=lambda item: (-expected[item], item))
    assert dict(joined) == pytest.approx({item: float(score) for item, score in expected.items()})


def test_items_that_score_alike_are_in_ascending_order() -> None:
    assert [item for item, _ in join_ranks([7, 3], [3, 7])] == [3, 7]
    assert [item for item, _ in join_ranks([9], [2], [5])] == [2, 5, 9]


def test_sums_that_differ_in_the_last_bit_only_are_equal() -> None:
    first, second = list(range(100, 180)), list(range(200, 280))
    first[3 - 1], second[80 - 1] = 1, 1  # 1/63 + 1/140
    first[24 - 1], second[30 - 1] = 2, 2  # 1/84 + 1/90
    assert [item for item, _ in join_ranks(first, second)][:2] == [1, 2]
