"""Timeline: the stages of one answer, and the steps of a run, as bars. They are drawn with numbers alone, because the
pages' policy allows no style."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.core.schemas.answers import AnswerTimings
from llmos.core.schemas.runs import RunDescription, StepDescription

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


@dataclass(frozen=True, slots=True)
class StepBar:
    """A step of a run, and where it is drawn. Steps that ran at once stand above each other."""

    step: StepDescription
    start_seconds: float
    x: float
    width: float


def timeline_of_steps(run: RunDescription) -> Sequence[StepBar]:
    """Return the steps of a run that have ended, in their order, from the beginning of the run to its last step."""
    began = run.created_at
    known = [(step, step.at) for step in run.steps if step.at is not None]
    if began is None or not known:
        return []
    whole = max((at - began).total_seconds() for _, at in known) or 1.0
    bars = []
    for step, at in known:
        start = max(0.0, (at - began).total_seconds() - step.seconds)
        width = max(_MIN_WIDTH, WIDTH * step.seconds / whole)
        x = max(0.0, min(WIDTH * start / whole, WIDTH - width))
        bars.append(StepBar(step, start, round(x, 2), round(width, 2)))
    return bars
