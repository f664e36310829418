"""Ends the rollout of a route whose targets a person changes: the person wins, and another rollout can begin.

Stands below routing/ and rollouts/: a change of a route and the end of its rollout are one transaction.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.deployments import queries
from llmos.deployments.tables import RolloutEventRow, RolloutRow

ACTIVE = ("starting", "running")
SUPERSEDED = "superseded"


def lock_rollouts(session: Session, route: str) -> Sequence[RolloutRow]:
    """Return the rollouts of a route that go on, and lock them.

    Call it before the route is locked: a step of a rollout locks the two in this order.
    """
    return queries.rollouts(session, route=route, states=ACTIVE, for_update=True)


def supersede(
    session: Session, rollouts: Sequence[RolloutRow], *, change: str, reason: str | None, actor: str, now: datetime
) -> None:
    """End these rollouts. `change`: what the actor did."""
    for row in rollouts:
        row.state, row.ended_at = SUPERSEDED, now
        row.reason = f"{actor} {change}" + (f": {reason}" if reason else "")
        session.add(RolloutEventRow(rollout=row.id, at=now, kind=SUPERSEDED, actor=actor, reason=row.reason, data={}))
