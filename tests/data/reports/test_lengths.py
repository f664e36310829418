"""Histograms of lengths: every length is in one bin, and the bins have round edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.data.reports.lengths import describe_lengths


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=50))
def test_every_length_is_in_the_bin_of_its_size(lengths):
    found = describe_lengths("characters", lengths)
    assert found.edges == sorted(set(found.edges))
    assert len(found.counts) == len(found.edges) - 1 <= 14
    bins = zip(found.edges, found.edges[1:], strict=False)
    assert found.counts == [sum(low <= length < high for length in lengths) for low, high in bins]
    assert sum(found.counts) == len(lengths)
    assert (found.least, found.most) == (min(lengths), max(lengths))
    assert sum(length <= found.median for length in lengths) >= len(lengths) / 2
    assert sum(length <= found.p95 for length in lengths) >= len(lengths) * 0.95


@pytest.mark.parametrize(
    ("lengths", "edges"),
    [
        ([5], [5, 6]),
        ([100, 180], [100, 110, 120, 130, 140, 150, 160, 170, 180, 190]),
        ([0, 3, 70], [0, 1, 2, 4, 8, 16, 32, 64, 128]),
        ([1, 1 << 20], [0, *(1 << power for power in range(10, 22))]),
    ],
)
def test_bins_are_equally_wide_or_double_where_lengths_differ_much(lengths, edges):
    assert describe_lengths("tokens", lengths).edges == edges
