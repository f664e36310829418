"""Rollouts: a version takes a route over step by step, each step behind a gate, and goes back by itself.

                 gate of the cases holds            gate holds             gate holds at the last step
    starting ───────────────────────────▶ running ─────────────▶ running … ─────────────▶ finished
        │ can't be loaded, fails its cases    │ gate fails, or no evidence in time              │
        └───────────────▶ rolled back ◀───────┴──────────────── asked for ◀─────────────────────┘

Every arrow is one transaction that moves the rollout, its history and the route's weights together, so that a server
that is killed between any two of them goes on, or back, when it starts again. Whoever changes the route's weights by
hand meanwhile has taken over: the rollout stops and leaves them. Knows no process; gateway/jobs/rollout_runner.py does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.deployments import queries
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.rollouts.cases import Case, cases_as_json, read_cases
from llmos.deployments.rollouts.gates import DEFAULT_GATE, Judgement, parse_gate
from llmos.deployments.routing.route import with_weights
from llmos.deployments.routing.routes import Routes
from llmos.deployments.tables import RolloutEventRow, RolloutRow
from llmos.deployments.targets import remote_name

State = Literal["starting", "running", "finished", "rolled_back", "stopped"]
"""stopped: somebody changed the route's weights meanwhile, or it was called off; the weights stay as they are."""

STATES: tuple[State, ...] = ("starting", "running", "finished", "rolled_back", "stopped")
ACTIVE: tuple[State, ...] = ("starting", "running")
ACTOR = "rollouts"
"""The actor of what a rollout does by itself, in its own history and in its route's."""

DEFAULT_STEPS = (5.0, 25.0, 100.0)
DEFAULT_MIN_CALLS = 20
MAX_MIN_CALLS = 4000
"""Not more than the evidence remembers of one target."""
MAX_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    id: int
    route: str
    target: str
    """The ref of the version that is promoted."""
    before: Mapping[str, float]
    """The route's targets and their percents when it began."""
    steps: tuple[float, ...]
    """Percents of the calls, rising to 100."""
    gate: str
    min_calls: int
    """Calls that each step wants to see before its gate is judged."""
    max_hold_seconds: int | None
    """A step whose evidence takes longer than this is rolled back. None: it holds as long as it takes."""
    cases: tuple[Case, ...]
    state: State
    step: int
    """Of `steps`; -1 while it is starting."""
    step_began_at: datetime
    baseline: Mapping[str, float]
    """The metrics of what answered before, as they were when last there were enough calls."""
    scores: Mapping[str, float]
    """The share of the cases that the "new" version and the one "before" answered right."""
    reason: str
    """Why it is in its state, or what its step waits for, with the numbers."""
    begun_by: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def percent(self) -> float:
        """Of the calls that the promoted version gets now."""
        if self.state == "finished":
            return 100.0
        return self.steps[self.step] if self.state == "running" else self.before.get(self.target, 0.0)

    @property
    def main_before(self) -> str:
        """The target that it is compared with: of those before, the one with most of the calls."""
        return _main_before(self.before, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEvent:
    at: datetime
    kind: str
    """began, stepped, finished, rolled_back, stopped."""
    actor: str | None
    """Who caused it. None in events from before it was recorded."""
    reason: str
    data: Mapping[str, Any]


class Rollouts:
    """Any thread may call any of this."""

    def __init__(self, database: Database, routes: Routes, deployments: Deployments, *, clock: Clock = utc_now) -> None:
        self._database, self._routes, self._deployments, self._clock = database, routes, deployments, clock

    def begin(
        self,
        ref: str,
        route: str,
        *,
        steps: Sequence[float] = DEFAULT_STEPS,
        gate: str = DEFAULT_GATE,
        min_calls: int = DEFAULT_MIN_CALLS,
        max_hold_seconds: int | None = None,
        cases: Sequence[Mapping[str, Any]] = (),
        force: bool = False,
        actor: str,
    ) -> Rollout:
        """Promote the version that `ref` names on a route. It is deployed beside what answers now, and gets no call
        before it is loaded and its cases are tried.

        Raises NotFound and ModelNotFound for what there is not; BadRequest for what can't be meant; Conflict where the
        route has a rollout already or answers with this version alone, and where deploying it is refused.
        """
        shares = check_steps(steps)
        _check_limits(min_calls, max_hold_seconds)
        asked = parse_gate(gate)
        if asked.asks_for_score and not cases:
            raise BadRequest("The gate asks for a score, so there must be cases: --cases FILE", param="cases")
        tried = read_cases(cases)
        found = self._routes.get(route)
        before = found.percent_of
        version = self._routes.version_to_promote(route, ref)
        _check_first_step(route, version.ref, before.get(version.ref, 0.0), shares)
        for percent in shares:
            with_weights(found, shares_at(before, version.ref, percent))
        if asked.compares_score and remote_name(main := _main_before(before, version.ref)) is not None:
            raise BadRequest(
                f"{main} runs at a provider and tries no cases here: give the score a number, as in score >= 0.8.",
                param="gate",
            )
        with self._database.session() as session:
            self._refuse_second(session, route)
        try:
            self._deployments.get(version.ref)
        except NotFound:
            self._deployments.deploy(version.ref, force=force, actor=actor)
        now = self._clock()
        with self._database.transaction() as session:
            current = self._routes.percents_in(session, route)
            self._refuse_second(session, route)
            if current != before:
                raise Conflict(f"Somebody changed {route} at the same time. Look at it, and promote again.")
            row = RolloutRow(
                route=route,
                target=version.ref,
                before=dict(before),
                steps=list(shares),
                gate=gate,
                min_calls=min_calls,
                max_hold_seconds=max_hold_seconds,
                cases=cases_as_json(tried),
                state="starting",
                step=-1,
                step_began_at=now,
                baseline={},
                scores={},
                reason=f"{version.ref} is loaded" + (" and tries its cases" if tried else ""),
                begun_by=actor,
                created_at=now,
            )
            session.add(row)
            session.flush()
            percents = ", ".join(f"{step:g} %" for step in shares)
            self._record_event(
                session, row, "began", actor, f"{version.ref} is to take {route} over: {percents}; gate: {gate}"
            )
            return _rollout(row)

    def active(self) -> Sequence[Rollout]:
        with self._database.session() as session:
            return [_rollout(row) for row in queries.rollouts(session, states=ACTIVE)]

    def list(self, route: str | None = None) -> Sequence[Rollout]:
        """The newest first."""
        with self._database.session() as session:
            return [_rollout(row) for row in reversed(queries.rollouts(session, route=route))]

    def of_route(self, route: str) -> Sequence[Rollout]:
        """Those of one route, the newest first; also of one that was removed. Raises NotFound for a name that never was
        a route."""
        found = self.list(route)
        if not found:
            self._routes.get(route)
        return found

    def get(self, id: int) -> Rollout:
        """Raises NotFound."""
        with self._database.session() as session:
            return _rollout(self._row(session, id))

    def history(self, id: int) -> Sequence[RolloutEvent]:
        """What happened in it, oldest first. Raises NotFound."""
        with self._database.session() as session:
            self._row(session, id)
            return [
                RolloutEvent(at=row.at, kind=row.kind, actor=row.actor, reason=row.reason, data=row.data)
                for row in queries.rollout_events(session, id)
            ]

    def record_scores(self, seen: Rollout, scores: Mapping[str, float]) -> Rollout:
        """Keep how the cases were answered, so that nobody tries them twice. Returns the rollout as it was `seen`, with
        them: whether it still is so, the next step asks."""
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if row.state in ACTIVE:
                row.scores = dict(scores)
        return replace(seen, scores=scores)

    def hold(self, seen: Rollout, reason: str) -> None:
        """Say what the step waits for. Nothing happens where the rollout is no longer as it was seen."""
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if (row.state, row.step) == (seen.state, seen.step):
                row.reason = reason

    def advance(self, seen: Rollout, because: Judgement, baseline: Mapping[str, float] | None = None) -> Rollout:
        """Take the step behind the one that was `seen`, or finish. Returns the rollout as it then is; nothing happens
        where it is no longer as it was seen, and it stops where somebody changed the route's weights."""
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if (row.state, row.step) != (seen.state, seen.step) or self._stop_if_taken_over(session, row):
                return _rollout(row)
            if baseline:
                row.baseline = dict(baseline)
            if row.step == len(row.steps) - 1:
                self._end(session, row, "finished", because.reason)
                return _rollout(row)
            row.step, row.state, row.step_began_at, row.reason = row.step + 1, "running", self._clock(), because.reason
            percent = row.steps[row.step]
            self._routes.set_weights_in(
                session,
                row.route,
                _shares(row),
                reason=f"rollout {row.id}: {row.target} gets {percent:g} %",
                actor=ACTOR,
            )
            self._record_event(session, row, "stepped", ACTOR, because.reason, {"percent": percent})
            return _rollout(row)

    def roll_back(self, seen: Rollout, reason: str) -> Rollout:
        """Give the route the weights back that it had, or stop where what had most of the calls was removed since.
        Nothing happens where the rollout has ended."""
        can_go_back = self._routes.is_there(seen.main_before)
        with self._database.transaction() as session:
            row = self._row(session, seen.id, for_update=True)
            if row.state in ACTIVE and not self._stop_if_taken_over(session, row):
                if can_go_back or row.step < 0:
                    self._give_back(session, row, reason, ACTOR)
                else:
                    self._end(
                        session,
                        row,
                        "stopped",
                        f"{reason}; {seen.main_before} was removed, so there is nothing to go back to",
                    )
            return _rollout(row)

    def roll_back_route(self, route: str, *, actor: str) -> Rollout:
        """Undo what runs or ran last on a route, at once. Raises NotFound for a route that there is not, and Conflict,
        with what to do, where there is nothing to undo or to go back to."""
        self._routes.get(route)
        last = next((rollout for rollout in self.list(route) if rollout.state != "stopped"), None)
        if last is None or last.state == "rolled_back":
            raise Conflict(f"{route} has no rollout to undo. Its moves are in its history: llmos route history {route}")
        if last.step >= 0 and not self._routes.is_there(last.main_before):
            raise Conflict(
                f"{last.main_before}, which {route} would go back to, was removed. Point it elsewhere:"
                f" llmos route set {route} MODEL"
            )
        with self._database.transaction() as session:
            row = self._row(session, last.id, for_update=True)
            if row.state == "rolled_back":
                return _rollout(row)
            if self._routes.percents_in(session, route) != _expected(row):
                raise Conflict(
                    f"{route} was changed after the rollout of {row.target}. Look at its history, and set it:"
                    f" llmos route history {route}"
                )
            self._give_back(session, row, f"{actor} asked for it", actor)
            return _rollout(row)

    def _give_back(self, session: Session, row: RolloutRow, reason: str, actor: str) -> None:
        self._routes.set_weights_in(
            session, row.route, row.before, reason=f"rollout {row.id} goes back: {reason}", actor=actor
        )
        self._end(session, row, "rolled_back", reason, actor)

    def _end(self, session: Session, row: RolloutRow, state: State, reason: str, actor: str = ACTOR) -> None:
        row.state, row.reason, row.ended_at = state, reason, self._clock()
        self._record_event(session, row, state, actor, reason)

    def _stop_if_taken_over(self, session: Session, row: RolloutRow) -> bool:
        current = self._routes.percents_in(session, row.route)
        if current == _expected(row):
            return False
        what = "changed the weights of" if current else "removed"
        self._end(session, row, "stopped", f"somebody {what} {row.route} by hand, which stays as it is")
        return True

    def _refuse_second(self, session: Session, route: str) -> None:
        for row in queries.rollouts(session, route=route, states=ACTIVE):
            raise Conflict(
                f"{route} is being rolled out to {row.target} already (rollout {row.id}). Wait for its end, or undo it:"
                f" llmos rollback {route}"
            )

    def _record_event(
        self,
        session: Session,
        row: RolloutRow,
        kind: str,
        actor: str,
        reason: str,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        session.add(
            RolloutEventRow(
                rollout=row.id, at=self._clock(), kind=kind, actor=actor, reason=reason, data=dict(data or {})
            )
        )

    def _row(self, session: Session, id: int, *, for_update: bool = False) -> RolloutRow:
        row = session.get(RolloutRow, id, with_for_update=for_update, populate_existing=for_update)
        if row is None:
            raise NotFound(f"There is no rollout {id}. Those that there are: llmos rollout list", param="id")
        return row


def check_steps(steps: Sequence[float]) -> tuple[float, ...]:
    """Return the steps. Raises BadRequest unless they rise to 100."""
    spelled = ",".join(f"{step:g}%" for step in steps) or "none"
    if not 1 <= len(steps) <= MAX_STEPS or any(not 0 < step <= 100 for step in steps):
        raise BadRequest(
            f"The steps are {spelled}; a rollout has 1 to {MAX_STEPS} of them, each over 0 % and up to 100 %, as in"
            " 5%,25%,100%.",
            param="steps",
        )
    if any(later <= earlier for earlier, later in pairwise(steps)) or steps[-1] != 100:
        raise BadRequest(f"The steps are {spelled}; they rise, and the last is 100%.", param="steps")
    if any(abs(step * 100 - round(step * 100)) > 1e-6 for step in steps):
        raise BadRequest(f"The steps are {spelled}; a percent has two decimals at most.", param="steps")
    return tuple(float(step) for step in steps)


def shares_at(before: Mapping[str, float], target: str, percent: float) -> dict[str, float]:
    """Return the weights of a route where `target` has `percent`, and the others share the rest as they did before.

    In hundredths of a percent, which come to exactly 100.
    """
    rest = 10_000 - round(percent * 100)
    others = {name: share for name, share in before.items() if name != target}
    total = sum(others.values())
    hundredths = {name: int(rest * share / total) for name, share in others.items()}
    if others:
        hundredths[max(others, key=lambda name: others[name])] += rest - sum(hundredths.values())
    shares = {name: count / 100 for name, count in hundredths.items() if count}
    return shares | {target: percent}


def _check_first_step(route: str, target: str, percent: float, steps: Sequence[float]) -> None:
    if percent > steps[0]:
        later = [f"{step:g}%" for step in (percent, *steps) if step >= percent]
        raise BadRequest(
            f"{target} has {percent:g} % of {route} already, and the first step would take it back to {steps[0]:g} %."
            f" Begin where it is: --steps {','.join(dict.fromkeys(later))}",
            param="steps",
        )


def _main_before(before: Mapping[str, float], target: str) -> str:
    others = {other: percent for other, percent in before.items() if other != target}
    return max(others, key=lambda other: others[other])


def _check_limits(min_calls: int, max_hold_seconds: int | None) -> None:
    if not 1 <= min_calls <= MAX_MIN_CALLS:
        raise BadRequest(f"min_calls is {min_calls}; it takes 1 to {MAX_MIN_CALLS}.", param="min_calls")
    if max_hold_seconds is not None and max_hold_seconds < 1:
        raise BadRequest(f"max_hold_seconds is {max_hold_seconds}; it takes 1 and more.", param="max_hold_seconds")


def _shares(row: RolloutRow) -> dict[str, float]:
    return shares_at(row.before, row.target, row.steps[row.step])


def _expected(row: RolloutRow) -> dict[str, float]:
    """The route's weights, as long as nobody else has changed them."""
    return dict(row.before) if row.step < 0 else _shares(row)


def _rollout(row: RolloutRow) -> Rollout:
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
