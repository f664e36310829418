"""Rollout: a version that takes over a route step by step, and the rules for its plan. Knows no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal, Self

from llmos.core.errors import BadRequest
from llmos.deployments.rollouts.cases import Case
from llmos.deployments.rollouts.gates import DEFAULT_GATE, parse_gate

RolloutState = Literal["starting", "running", "finished", "rolled_back", "superseded", "stopped"]
"""superseded: a person changed the targets of the route meanwhile, or removed it. stopped: there is nothing left to
roll back to. Either way, the weights of the route stay as they are."""

STATES: tuple[RolloutState, ...] = ("starting", "running", "finished", "rolled_back", "superseded", "stopped")

DEFAULT_STEPS = (5.0, 25.0, 100.0)
DEFAULT_MIN_CALLS = 20
MAX_MIN_CALLS = 4000
"""Less than evidence.MAX_OUTCOMES, so that a window can hold that many calls."""
MAX_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """The steps in which a version takes over a route, and the conditions for each."""

    steps: Sequence[float] = DEFAULT_STEPS
    """Percents of the calls, rising to 100."""
    gate: str = DEFAULT_GATE
    """The conditions that must hold at each step; see gates.py."""
    min_calls: int = DEFAULT_MIN_CALLS
    """Calls that each step needs before its gate is judged."""
    max_hold_seconds: int | None = None
    """A step whose evidence takes longer than this is rolled back. None: no limit."""
    cases: Sequence[Case] = ()
    """Prompts with expected answers: they make up the `score` of the gate."""

    def checked(self) -> Self:
        """Return the plan. Raises BadRequest for an impossible one."""
        steps = check_steps(self.steps)
        if not 1 <= self.min_calls <= MAX_MIN_CALLS:
            raise BadRequest(f"min_calls is {self.min_calls}; it must be from 1 to {MAX_MIN_CALLS}.", param="min_calls")
        if self.max_hold_seconds is not None and self.max_hold_seconds < 1:
            raise BadRequest(
                f"max_hold_seconds is {self.max_hold_seconds}; it must be at least 1.", param="max_hold_seconds"
            )
        if parse_gate(self.gate).asks_for_score and not self.cases:
            raise BadRequest("The gate needs a score, so it needs cases: --cases FILE", param="cases")
        return replace(self, steps=steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout(RolloutPlan):
    id: int
    route: str
    target: str
    """The reference of the version that is promoted."""
    before: Mapping[str, float]
    """The route's targets and their percents before the rollout."""
    state: RolloutState
    step: int
    """Index into `steps`; -1 while it is starting."""
    step_began_at: datetime
    baseline: Mapping[str, float]
    """The metrics of the main target before, from the last step in which it had enough calls."""
    scores: Mapping[str, float]
    """The share of the cases that were answered right by the version ("new") and by the main target before ("before").
    """
    reason: str
    """Why it is in its state, or what its step waits for, with the numbers."""
    begun_by: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def percent(self) -> float:
        """The percent of the calls that the promoted version gets now."""
        if self.state == "finished":
            return 100.0
        return self.steps[self.step] if self.state == "running" else self.before.get(self.target, 0.0)

    @property
    def main_before(self) -> str:
        """The target that the version is compared with: before the rollout, it got most of the calls."""
        return main_target(self.before, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEvent:
    at: datetime
    kind: str
    """began, stepped, finished, rolled_back, superseded, stopped."""
    actor: str | None
    """The user, the key or the part of the server that caused it. None in events from before it was recorded."""
    reason: str
    data: Mapping[str, Any]


def main_target(before: Mapping[str, float], promoted: str) -> str:
    """Return the target other than `promoted` with the most calls."""
    others = {target: percent for target, percent in before.items() if target != promoted}
    return max(others, key=lambda target: others[target])


def check_steps(steps: Sequence[float]) -> tuple[float, ...]:
    """Return the steps. Raises BadRequest unless they rise to 100."""
    listed = ",".join(f"{step:g}%" for step in steps) or "none"
    if not 1 <= len(steps) <= MAX_STEPS or any(not 0 < step <= 100 for step in steps):
        raise BadRequest(
            f"The steps are {listed}; a rollout has 1 to {MAX_STEPS} of them, each over 0 % and up to 100 %, as in"
            " 5%,25%,100%.",
            param="steps",
        )
    if any(later <= earlier for earlier, later in pairwise(steps)) or steps[-1] != 100:
        raise BadRequest(f"The steps are {listed}; they must rise, and the last must be 100%.", param="steps")
    if any(abs(step * 100 - round(step * 100)) > 1e-6 for step in steps):
        raise BadRequest(f"The steps are {listed}; a percent has at most two decimals.", param="steps")
    return tuple(float(step) for step in steps)


def check_first_step(route: str, target: str, percent: float, steps: Sequence[float]) -> None:
    """Raise BadRequest if the first step would take calls away from the version, which has `percent` now."""
    if percent > steps[0]:
        later = [f"{step:g}%" for step in (percent, *steps) if step >= percent]
        raise BadRequest(
            f"{target} already has {percent:g} % of {route}, and the first step is only {steps[0]:g} %."
            f" Begin where it is: --steps {','.join(dict.fromkeys(later))}",
            param="steps",
        )


def shares_at(before: Mapping[str, float], target: str, percent: float) -> dict[str, float]:
    """Return a route's weights with `percent` for the target, and the rest shared by the others as before.

    Computed in hundredths of a percent, which add up to exactly 100.
    """
    rest = 10_000 - round(percent * 100)
    others = {name: share for name, share in before.items() if name != target}
    total = sum(others.values())
    hundredths = {name: int(rest * share / total) for name, share in others.items()}
    if others:
        hundredths[max(others, key=lambda name: others[name])] += rest - sum(hundredths.values())
    shares = {name: count / 100 for name, count in hundredths.items() if count}
    return shares | {target: percent}
