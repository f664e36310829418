"""Pauses between attempts that fail."""

_MAX_DOUBLINGS = 64
"""More make no difference, and a number of any size is no float."""


def doubling(num_failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after this many failures in a row, 1 or more.

    `first`: after the first failure; each later one doubles it, up to `longest`.
    """
    return min(longest, first * 2.0 ** min(num_failures - 1, _MAX_DOUBLINGS))
