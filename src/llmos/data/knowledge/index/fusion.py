"""Joins ranked lists by reciprocal ranks (Cormack, Clarke and Büttcher 2009)."""

from collections.abc import Sequence

K = 60
"""How much the first ranks are alike. The paper's value."""


def join_ranks(*lists: Sequence[int]) -> list[tuple[int, float]]:
    """Return items with the sum of 1 / (K + rank) over the lists that have them, best first.

    Ranks count from 1. Items with equal sums are in ascending order.
    """
    scores: dict[int, float] = {}
    for items in lists:
        for rank, item in enumerate(items, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (K + rank)
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))
