"""Timeline: the stages of one answer as bars, drawn with numbers alone, because the pages' policy allows no style."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.core.schemas.answers import AnswerTimings

WIDTH = 1000
"""The width of the drawing, in its own units."""

STAGES = ("guardrails", "load", "queue", "prefill", "decode")
"""In the order in which an answer passes them."""

_REST = "rest"
"""The time that belongs to no stage, such as the network, tools, or other attempts."""

_MIN_WIDTH = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage: when it began, how long it took, and where it is drawn."""

    name: str
    start_seconds: float
    seconds: float
    x: float
    width: float
    share: float
    """The share of the whole time, from 0 to 1."""


def timeline_of(timings: AnswerTimings) -> Sequence[Bar]:
    """Return the stages that took time, one after the other, and what is left of the whole at the end."""
    stages = [(name, getattr(timings, name)) for name in STAGES]
    rest = timings.total - sum(seconds for _, seconds in stages)
    whole = max(timings.total, sum(seconds for _, seconds in stages))
    if whole <= 0:
        return []
    bars: list[Bar] = []
    start = 0.0
    for name, seconds in [*stages, (_REST, rest)]:
        if seconds <= 0:
            continue
        width = max(_MIN_WIDTH, WIDTH * seconds / whole)
        x = min(WIDTH * start / whole, WIDTH - width)
        bars.append(Bar(name, start, seconds, round(x, 2), round(width, 2), seconds / whole))
        start += seconds
    return bars
