"""Judges a step of a rollout or of a release, and takes what follows: the next step, a rollback, or more waiting."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from llmos.core.schemas.routes import TargetEvidence
from llmos.deployments.rollouts.gates import Judgement, Measured, judge, metrics_of, parse_gate


class Step(Protocol):
    """A step that runs, with the conditions for the next one."""

    @property
    def gate(self) -> str: ...
    @property
    def min_calls(self) -> int: ...
    @property
    def max_hold_seconds(self) -> int | None: ...
    @property
    def percent(self) -> float:
        """The share of the calls that what is new gets."""

    @property
    def step_began_at(self) -> datetime: ...
    @property
    def baseline(self) -> Mapping[str, float]:
        """The metrics of what was there before, from the last step in which it had enough calls."""

    @property
    def scores(self) -> Mapping[str, float]: ...
    @property
    def reason(self) -> str:
        """The reason of its last change, or what it waits for."""


S = TypeVar("S", bound=Step, contravariant=True)


class Steps(Protocol[S]):
    """The rollouts, or the releases, whose steps are judged."""

    def roll_back(self, seen: S, reason: str) -> object: ...
    def advance(self, seen: S, judgement: Judgement, baseline: Mapping[str, float] | None = None) -> object: ...
    def hold(self, seen: S, reason: str) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    verdict: Literal["holds", "fails", "waits"]
    judgement: Judgement
    """With the reason, in one sentence."""
    before: Mapping[str, float]
    """The metrics that it was compared with."""


def decide(step: Step, window: TargetEvidence, before: TargetEvidence, now: datetime) -> Decision:
    """Judge a step by the calls since it began, of what is new and of what was there before."""
    measured = measure(step, window, before)
    judgement = judge(parse_gate(step.gate), measured, step.min_calls)
    if judgement.verdict != "unknown":
        return Decision(verdict=judgement.verdict, judgement=judgement, before=measured.before)
    held_seconds = (now - step.step_began_at).total_seconds()
    if held_seconds <= (step.max_hold_seconds or math.inf):
        return Decision(verdict="waits", judgement=judgement, before=measured.before)
    reason = f"not enough is known after {held_seconds:.0f} seconds at {step.percent:g} %: {judgement.reason}"
    return Decision(verdict="fails", judgement=Judgement("fails", reason), before=measured.before)


def carry_out(decision: Decision, step: S, steps: Steps[S]) -> None:
    """Take the next step, roll back, or record what the step waits for, unless that is recorded already."""
    if decision.verdict == "fails":
        steps.roll_back(step, decision.judgement.reason)
    elif decision.verdict == "holds":
        steps.advance(step, decision.judgement, decision.before)
    elif step.reason != (waits_for := f"waits: {decision.judgement.reason}"):
        steps.hold(step, waits_for)


def measure(step: Step, window: TargetEvidence, before: TargetEvidence) -> Measured:
    """Return what the gate is judged by."""
    # In the last step the former version gets no calls, except some that take long to end. Then the calls of the step
    # before are compared with.
    is_shared = step.percent < 100
    baseline = metrics_of(before) if is_shared and has_enough(before, step) else dict(step.baseline)
    return Measured(window=window, before=baseline, scores=step.scores)


def has_enough(window: TargetEvidence, step: Step) -> bool:
    return window.num_answered + window.num_failed >= step.min_calls
