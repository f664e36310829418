"""Conversion of a Rollout and its events from and to their database rows."""

from collections.abc import Mapping
from typing import Any

from llmos.deployments.rollouts.cases import cases_as_json, read_cases
from llmos.deployments.rollouts.rollout import STATES, Rollout, RolloutEvent, RolloutPlan, shares_at
from llmos.deployments.tables import RolloutEventRow, RolloutRow


def columns_of(plan: RolloutPlan) -> dict[str, Any]:
    return {
        "steps": list(plan.steps),
        "gate": plan.gate,
        "min_calls": plan.min_calls,
        "max_hold_seconds": plan.max_hold_seconds,
        "cases": cases_as_json(plan.cases),
    }


def rollout_of(row: RolloutRow) -> Rollout:
    return Rollout(
        id=row.id,
        route=row.route,
        target=row.target,
        before=row.before,
        steps=tuple(row.steps),
        gate=row.gate,
        min_calls=row.min_calls,
        max_hold_seconds=row.max_hold_seconds,
        cases=read_cases(row.cases),
        state=next(state for state in STATES if state == row.state),
        step=row.step,
        step_began_at=row.step_began_at,
        baseline=row.baseline,
        scores=row.scores,
        reason=row.reason,
        begun_by=row.begun_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def event_of(row: RolloutEventRow) -> RolloutEvent:
    return RolloutEvent(at=row.at, kind=row.kind, actor=row.actor, reason=row.reason, data=row.data)


def shares_of_step(row: RolloutRow) -> dict[str, float]:
    """Return the weights that the rollout's step gives the route."""
    return shares_at(row.before, row.target, row.steps[row.step])


def expected_shares(row: RolloutRow) -> Mapping[str, float]:
    """Return the route's weights as they are unless somebody else has changed them."""
    return dict(row.before) if row.step < 0 else shares_of_step(row)
