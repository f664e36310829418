"""Rollouts: a version takes over a route step by step, each step behind a gate, or is rolled back.

                 gate of the cases holds            gate holds             gate holds at the last step
    starting ───────────────────────────▶ running ─────────────▶ running … ─────────────▶ finished
        │ can't be loaded, fails its cases    │ gate fails, or no evidence in time             │
        └───────────────▶ rolled_back ◀───────┴──────────────── rolled back on request ◀───────┘

    starting and running lead to superseded if a person changes the route's targets or removes it meanwhile, and to
    stopped if a rollback has nothing to lead to.

Every arrow is one transaction that changes the rollout, its history and the route's weights together. A server that is
killed between two of them continues, or rolls back, when it starts again. A person who changes the route ends the
rollout in the same transaction (superseding.py). Knows no process; gateway/jobs/rollout_runner.py does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.actions import Action, Detail, add_decision, describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.deployments import queries
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.rollouts.gates import Judgement, parse_gate
from llmos.deployments.rollouts.rollout import (
    Rollout,
    RolloutEvent,
    RolloutPlan,
    RolloutState,
    check_first_step,
    main_target,
    shares_at,
)
from llmos.deployments.rollouts.rollout_rows import columns_of, event_of, expected_shares, rollout_of, shares_of_step
from llmos.deployments.routing.route import Route, with_weights
from llmos.deployments.routing.routes import Routes
from llmos.deployments.superseding import ACTIVE
from llmos.deployments.tables import RolloutEventRow, RolloutRow
from llmos.deployments.targets import remote_name

ACTOR = "rollouts"
"""The actor of what a rollout does by itself, in its own history and in its route's."""


class Rollouts:
    """Any thread may call any method."""

    def __init__(self, database: Database, routes: Routes, deployments: Deployments, *, clock: Clock = utc_now) -> None:
        self._database, self._routes, self._deployments, self._clock = database, routes, deployments, clock

    def begin(
        self, ref: str, route: str, plan: RolloutPlan | None = None, *, actor: str, force: bool = False
    ) -> Rollout:
        """Promote the version that `ref` names on a route. It is deployed beside the present targets, and gets no
        call before it is loaded and has answered its cases.

        Raises NotFound and ModelNotFound; BadRequest for an impossible plan; Conflict if the route has a rollout
        already, if the version has all of its calls already, and if the version can't be deployed.
        """
        plan = (plan or RolloutPlan()).checked()
        found = self._routes.get(route)
        version = self._routes.version_to_promote(route, ref)
        _check_feasible(found, version.ref, plan)
        with self._database.session() as session:
            self._refuse_second(session, route)
        try:
            self._deployments.get(version.ref)
        except NotFound:
            self._deployments.deploy(version.ref, force=force, actor=actor)
        with self._database.transaction() as session:
            current = self._routes.percents_in(session, route)
            self._refuse_second(session, route)
            if current != found.percent_of:
                raise Conflict(f"{route} was changed at the same time. Check it, and promote again.")
            return self._add(session, found, version.ref, plan, actor)

    def active(self) -> Sequence[Rollout]:
        with self._database.session() as session:
            return [rollout_of(row) for row in queries.rollouts(session, states=ACTIVE)]

    def list(self, route: str | None = None) -> Sequence[Rollout]:
        """Return the rollouts, or those of one route, newest first."""
        with self._database.session() as session:
            return [rollout_of(row) for row in reversed(queries.rollouts(session, route=route))]

    def get(self, id: int) -> Rollout:
        """Raises NotFound."""
        with self._database.session() as session:
            return rollout_of(self._row(session, id))

    def history(self, id: int) -> Sequence[RolloutEvent]:
        """Return its events, oldest first. Raises NotFound."""
        with self._database.session() as session:
            self._row(session, id)
            return [event_of(row) for row in queries.rollout_events(session, id)]

    def record_scores(self, seen: Rollout, scores: Mapping[str, float]) -> Rollout:
        """Keep the scores of the cases, so that they are tried only once. Returns `seen` with the scores; whether the
        rollout is still in that state is checked by the next step."""
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if row.state in ACTIVE:
                row.scores = dict(scores)
        return replace(seen, scores=scores)

    def hold(self, seen: Rollout, reason: str) -> None:
        """Record what the step waits for. Does nothing if the rollout is no longer in the state that was seen."""
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if (row.state, row.step) == (seen.state, seen.step):
                row.reason = reason

    def advance(self, seen: Rollout, judgement: Judgement, baseline: Mapping[str, float] | None = None) -> Rollout:
        """Take the step after the one that was seen, or finish. Returns the rollout as it is then.

        Does nothing if the rollout is no longer in the state that was seen.
        """
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if (row.state, row.step) != (seen.state, seen.step) or self._end_if_taken_over(session, row):
                return rollout_of(row)
            if baseline:
                row.baseline = dict(baseline)
            if row.step == len(row.steps) - 1:
                self._end(session, row, "finished", judgement.reason)
                return rollout_of(row)
            row.step, row.state, row.step_began_at = row.step + 1, "running", self._clock()
            row.reason = judgement.reason
            percent = row.steps[row.step]
            reason = f"rollout {row.id}: {row.target} gets {percent:g} %"
            self._routes.set_weights_in(session, row.route, shares_of_step(row), reason=reason, actor=ACTOR)
            self._record(session, row, "stepped", ACTOR, judgement.reason, {"percent": percent})
            return rollout_of(row)

    def roll_back(self, seen: Rollout, reason: str) -> Rollout:
        """Restore the route's weights, or stop if its main target before was removed. Does nothing if the rollout has
        ended."""
        can_go_back = self._routes.is_there(seen.main_before)
        with self._database.transaction(frees_space=True) as session:
            row = self._row(session, seen.id, for_update=True)
            if row.state in ACTIVE and not self._end_if_taken_over(session, row):
                if can_go_back or row.step < 0:
                    self._restore(session, row, reason, ACTOR)
                else:
                    gone = f"{seen.main_before} was removed, so there is nothing to roll back to"
                    self._end(session, row, "stopped", f"{reason}; {gone}")
            return rollout_of(row)

    def roll_back_route(self, route: str, *, actor: str) -> Rollout:
        """Undo the rollout of a route that runs or ran last, at once.

        Raises NotFound, and Conflict with the next command if there is nothing to undo or to roll back to.
        """
        self._routes.get(route)
        last = next((rollout for rollout in self.list(route) if rollout.state not in ("stopped", "superseded")), None)
        if last is None or last.state == "rolled_back":
            raise Conflict(f"{route} has no rollout to undo. See its history: llmos route history {route}")
        if last.step >= 0 and not self._routes.is_there(last.main_before):
            raise Conflict(
                f"{last.main_before}, which had most of the calls of {route} before, was removed. Set another target:"
                f" llmos route set {route} MODEL"
            )
        with self._database.transaction(frees_space=True) as session:
            row = self._row(session, last.id, for_update=True)
            if row.state == "rolled_back":
                return rollout_of(row)
            if self._routes.percents_in(session, route) != expected_shares(row):
                raise Conflict(
                    f"{route} was changed after the rollout of {row.target}. See its history, and set its target:"
                    f" llmos route history {route}"
                )
            self._restore(session, row, "rolled back on request", actor)
            return rollout_of(row)

    def _add(self, session: Session, route: Route, ref: str, plan: RolloutPlan, actor: str) -> Rollout:
        now = self._clock()
        row = RolloutRow(
            route=route.name,
            target=ref,
            before=dict(route.percent_of),
            state="starting",
            step=-1,
            step_began_at=now,
            baseline={},
            scores={},
            reason=f"{ref} is loaded" + (" and tries its cases" if plan.cases else ""),
            begun_by=actor,
            created_at=now,
            **columns_of(plan),
        )
        session.add(row)
        session.flush()
        describe_action(route.name, version=ref, rollout=row.id)
        percents = ", ".join(f"{step:g} %" for step in plan.steps)
        self._record(session, row, "began", actor, f"{ref} takes over {route.name}: {percents}; gate: {plan.gate}")
        return rollout_of(row)

    def _restore(self, session: Session, row: RolloutRow, reason: str, actor: str) -> None:
        move_reason = f"rollout {row.id} was rolled back: {reason}"
        self._routes.set_weights_in(session, row.route, row.before, reason=move_reason, actor=actor)
        self._end(session, row, "rolled_back", reason, actor)

    def _end(self, session: Session, row: RolloutRow, state: RolloutState, reason: str, actor: str = ACTOR) -> None:
        row.state, row.reason, row.ended_at = state, reason, self._clock()
        self._record(session, row, state, actor, reason)

    def _end_if_taken_over(self, session: Session, row: RolloutRow) -> bool:
        """End a rollout whose route has other weights than it gave, as one that was set while the rollout began has, or
        one that an older server set."""
        current = self._routes.percents_in(session, row.route)
        if current == expected_shares(row):
            return False
        change = f"changed the weights of {row.route} by hand" if current else f"removed {row.route}"
        self._end(session, row, "superseded", f"somebody {change}; it stays as it is")
        return True

    def _refuse_second(self, session: Session, route: str) -> None:
        for row in queries.rollouts(session, route=route, states=ACTIVE):
            raise Conflict(
                f"{row.target} is already taking over {route} (rollout {row.id}). Wait until it ends, or undo it:"
                f" llmos rollback {route}"
            )

    def _record(
        self,
        session: Session,
        row: RolloutRow,
        kind: str,
        actor: str,
        reason: str,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        if actor == ACTOR:
            details: dict[str, Detail] = {"version": row.target, "rollout": row.id, "reason": reason}
            add_decision(session, Action(f"rollout.{kind}", user=ACTOR, object=row.route, details=details))
        session.add(
            RolloutEventRow(
                rollout=row.id, at=self._clock(), kind=kind, actor=actor, reason=reason, data=dict(data or {})
            )
        )

    def _row(self, session: Session, id: int, *, for_update: bool = False) -> RolloutRow:
        row = session.get(RolloutRow, id, with_for_update=for_update, populate_existing=for_update)
        if row is None:
            raise NotFound(f"There is no rollout {id}. See all rollouts: llmos rollout list", param="id")
        return row


def _check_feasible(route: Route, ref: str, plan: RolloutPlan) -> None:
    """Raise BadRequest if a step isn't possible on this route, or if the cases can't be tried."""
    before = route.percent_of
    check_first_step(route.name, ref, before.get(ref, 0.0), plan.steps)
    for percent in plan.steps:
        with_weights(route, shares_at(before, ref, percent))
    if parse_gate(plan.gate).compares_score and remote_name(main := main_target(before, ref)) is not None:
        raise BadRequest(
            f"{main} runs at a provider, where no cases are tried: give the score a number, as in score >= 0.8.",
            param="gate",
        )
