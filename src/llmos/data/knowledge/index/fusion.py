"""Joins ranked lists by reciprocal ranks (Cormack, Clarke and Büttcher 2009)."""

from collections.abc import Sequence

K = 60
"""The constant of reciprocal rank fusion, with the paper's value. The larger it is, the less the first ranks differ."""

_DIGITS = 15
"""Sums are equal if these digits are: 1/63 + 1/140 and 1/84 + 1/90 differ in the last bit only."""


def join_ranks(*lists: Sequence[int]) -> list[tuple[int, float]]:
    """Return items with the sum of 1 / (K + rank) over the lists that have them, best first.

    Ranks count from 1. Items with equal sums are in ascending order.
    """
    scores: dict[int, float] = {}
    for items in lists:
        for rank, item in enumerate(items, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (K + rank)
    return sorted(scores.items(), key=lambda each: (-round(each[1], _DIGITS), each[0]))
