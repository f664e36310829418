"""Intervals of shares as bars, drawn with numbers alone, because the pages' policy allows no style."""

from dataclasses import dataclass

WIDTH = 1000
"""The width of the drawing, in its own units."""

_MIN_WIDTH = 6.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A share from 0 to 1 with its interval of 95 %, and the share that a trivial answer reaches."""

    x: float
    width: float
    at: float
    """The share itself."""
    baseline: float | None


def drawn_interval(low: float, high: float, share: float, baseline: float | None = None) -> Interval:
    """Return where an interval is drawn. An interval without a width is still seen."""
    low, high = max(0.0, min(low, 1.0)), max(0.0, min(high, 1.0))
    width = max(_MIN_WIDTH, WIDTH * (high - low))
    x = min(WIDTH * low, WIDTH - width)
    at = min(max(WIDTH * share, 2.0), WIDTH - 2.0)
    trivial = None if baseline is None else round(WIDTH * baseline, 2)
    return Interval(round(x, 2), round(width, 2), round(at, 2), trivial)
