"""AppReleases: versions of applications take over, at once or in steps behind a gate, and are rolled back.

              its process answers           gate holds            gate holds at the last step
    starting ─────────────────────▶ running ─────────▶ running … ────────────────────────────▶ active
        │ it doesn't start, the gate fails, no evidence in time, on request │                    │ on request
        └────────────────────────────▶ rolled_back ◀────────────────────────┴────────────────────┘

    Without steps, a release is active at once. active, and what is taking over, lead to superseded when another version
    is deployed.

Every arrow is one transaction that changes the release, its history and what is deployed together, so a server that is
killed between two of them continues. Knows no process; gateway/hosted_apps/release_runner.py does.
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.actions import Action, add_decision, describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from llmos.data.apps.deployments import AppDeployment, AppDeployments
from llmos.deployments.releases import queries
from llmos.deployments.releases.release import (
    TAKING_OVER,
    NewRelease,
    Release,
    ReleaseEvent,
    ReleaseState,
    ReleaseSteps,
    event_of,
    release_of,
)
from llmos.deployments.releases.tables import AppReleaseEventRow, AppReleaseRow
from llmos.deployments.rollouts.gates import Judgement

ACTOR = "releases"
"""The actor of what a release does by itself."""
_NUM_LISTED = 200


class AppReleases:
    """The releases of all projects. Any thread may call any method."""

    def __init__(self, database: Database, deployments: AppDeployments, *, clock: Clock = utc_now) -> None:
        self._database, self._deployments, self._clock = database, deployments, clock

    def begin(self, new: NewRelease, *, expected: int | None = None, actor: str) -> Release:
        """Let a version take over. Returns the present release if it is of this version and environment already.

        `expected`: the number of the release that the caller has seen as the newest, 0 for none; None: any.
        Raises Conflict if another one has begun since, or is taking over, and BadRequest for impossible steps.
        """
        new.steps.checked()
        project, app = new.project, new.app
        with self._database.transaction() as session:
            deployed = self._deployments.get_in(session, project, app)
            newest = next(iter(queries.of_app(session, project, app, 1)), None)
            _check_expected(app, newest, expected)
            if newest is not None and _is_served(newest, deployed, new):
                return release_of(newest)
            if newest is not None and newest.state in TAKING_OVER and not _is_taken_over(newest, deployed):
                raise Conflict(
                    f"{app}@{newest.version} is taking over {app} (release {newest.number}). Wait until it has, or end"
                    f" it: llmos app rollback {app}"
                )
            is_replaced = deployed is not None and not deployed.is_stopped and deployed.version != new.version
            if not is_replaced:
                new = replace(new, steps=ReleaseSteps())
            row = self._add(session, new, deployed, actor)
            if new.steps.steps:
                self._deployments.set_candidate_in(session, project, app, new.version)
            else:
                self._activate(session, row, f"{app}@{new.version} is deployed", actor)
            found = release_of(row)
        self._deployments.changed()
        return found

    def state(self) -> int | None:
        """Return a number that changes with the database; None where that isn't known."""
        return self._database.state()

    def taking_over(self) -> Sequence[Release]:
        """Return the releases of all projects that are taking over."""
        with self._database.session() as session:
            return [release_of(row) for row in queries.in_states(session, TAKING_OVER)]

    def list(self, project: str, app: str) -> builtins.list[Release]:
        """Return the last releases of an application, newest first."""
        with self._database.session() as session:
            return [release_of(row) for row in queries.of_app(session, project, app, _NUM_LISTED)]

    def newest(self, project: str, app: str) -> Release | None:
        with self._database.session() as session:
            row = next(iter(queries.of_app(session, project, app, 1)), None)
            return None if row is None else release_of(row)

    def history(self, project: str, app: str) -> builtins.list[ReleaseEvent]:
        """Return what happened to the last releases of an application, oldest first."""
        with self._database.session() as session:
            number_of = {row.id: row.number for row in queries.of_app(session, project, app, _NUM_LISTED)}
            return [event_of(row, number_of[row.release]) for row in queries.events(session, [*number_of])]

    def hold(self, seen: Release, reason: str) -> None:
        """Record what a step waits for. Does nothing if the release is no longer in the state that was seen."""
        with self._database.transaction() as session:
            row = queries.locked(session, seen.id)
            if row is not None and (row.state, row.step) == (seen.state, seen.step):
                row.reason = reason

    def advance(self, seen: Release, judgement: Judgement, baseline: Mapping[str, float] | None = None) -> None:
        """Take the step after the one that was seen, or make the version the only one. Does nothing if the release is
        no longer in the state that was seen."""
        with self._database.transaction() as session:
            row = queries.locked(session, seen.id)
            if row is None or (row.state, row.step) != (seen.state, seen.step) or self._end_if_taken_over(session, row):
                return
            if baseline:
                row.baseline = dict(baseline)
            if row.step == len(row.steps) - 1:
                self._activate(session, row, judgement.reason, ACTOR)
            else:
                row.step, row.state, row.step_began_at = row.step + 1, "running", self._clock()
                percent = row.steps[row.step]
                row.reason = judgement.reason
                self._deployments.set_candidate_in(session, row.project, row.app, row.version, percent)
                self._record(session, row, "stepped", ACTOR, f"{percent:g} %: {judgement.reason}")
        self._deployments.changed()

    def roll_back(self, seen: Release, reason: str) -> None:
        """End a release that is taking over: all callers get the version before. Does nothing if it has ended."""
        with self._database.transaction() as session:
            row = queries.locked(session, seen.id)
            if row is None or row.state not in TAKING_OVER or self._end_if_taken_over(session, row):
                return
            self._deployments.set_candidate_in(session, row.project, row.app, None)
            self._end(session, row, "rolled_back", reason, ACTOR)
        self._deployments.changed()

    def roll_back_app(self, project: str, app: str, *, reason: str = "", actor: str) -> Release:
        """Undo the newest release: one that is taking over ends, and in place of one that is active the version before
        is deployed again, at once. Returns the release that is active then.

        Raises NotFound if there is none, and Conflict if there is nothing to go back to.
        """
        reason = reason or "rolled back on request"
        with self._database.transaction() as session:
            rows = queries.of_app(session, project, app, _NUM_LISTED)
            if not rows:
                raise NotFound(f"The app {app[:64]!r} has no release. To make one: llmos apply DIR", param="name")
            newest = rows[0]
            deployed = self._deployments.get_in(session, project, app)
            describe_action(app, release=newest.number, reason=reason[:200])
            if newest.state in TAKING_OVER and not self._end_if_taken_over(session, newest):
                self._deployments.set_candidate_in(session, project, app, None)
                self._end(session, newest, "rolled_back", reason, actor)
                found = release_of(next((row for row in rows[1:] if row.state == "active"), newest))
            else:
                active, target = _to_go_back_to(app, rows, deployed)
                new = NewRelease(
                    project=project,
                    app=app,
                    version=target.version,
                    environment=target.environment,
                    facts=target.facts,
                )
                row = self._add(session, new, deployed, actor)
                row.restores = target.restores or target.number
                self._end(session, active, "rolled_back", reason, actor)
                self._activate(session, row, f"went back from {app}@{active.version}: {reason}", actor)
                found = release_of(row)
        self._deployments.changed()
        return found

    def end_taken_over(self, seen: Release) -> bool:
        """End a release as superseded if another version was deployed by other means. Returns whether it was."""
        with self._database.transaction() as session:
            row = queries.locked(session, seen.id)
            return row is not None and row.state in TAKING_OVER and self._end_if_taken_over(session, row)

    def remove_project(self, project: str) -> None:
        """Forget the releases of a project."""
        with self._database.transaction(frees_space=True) as session:
            queries.remove_project(session, project)

    def _add(self, session: Session, new: NewRelease, deployed: AppDeployment | None, actor: str) -> AppReleaseRow:
        now, steps, ref = self._clock(), new.steps, f"{new.app}@{new.version}"
        row = AppReleaseRow(
            project=new.project,
            app=new.app,
            number=queries.next_number(session, new.project, new.app),
            environment=new.environment,
            version=new.version,
            before=None if deployed is None or deployed.is_stopped else deployed.version,
            steps=[*steps.steps],
            gate=steps.gate,
            min_calls=steps.min_calls,
            max_hold_seconds=steps.max_hold_seconds,
            state="starting",
            step=-1,
            step_began_at=now,
            baseline={},
            facts=dict(new.facts),
            reason=f"{ref} starts",
            begun_by=actor,
            created_at=now,
        )
        session.add(row)
        session.flush()
        describe_action(ref, release=row.number, environment=new.environment)
        percents = ", ".join(f"{step:g} %" for step in steps.steps)
        how = f"in steps: {percents}; gate: {steps.gate}" if percents else "at once"
        note = f"; {new.note}" if new.note else ""
        self._record(session, row, "began", actor, f"{ref} takes over {how}{note}")
        return row

    def _activate(self, session: Session, row: AppReleaseRow, reason: str, actor: str) -> None:
        for other in queries.of_app(session, row.project, row.app, _NUM_LISTED):
            if other.id != row.id and other.state in ("active", *TAKING_OVER):
                self._end(session, other, "superseded", f"{row.app}@{row.version} took its place", actor)
        self._deployments.set_in(session, row.project, row.app, row.version, actor=row.begun_by)
        row.state, row.reason, row.active_at = "active", reason, self._clock()
        self._record(session, row, "active", actor, reason)

    def _end(self, session: Session, row: AppReleaseRow, state: ReleaseState, reason: str, actor: str) -> None:
        row.state, row.reason, row.ended_at = state, reason, self._clock()
        self._record(session, row, state, actor, reason)

    def _end_if_taken_over(self, session: Session, row: AppReleaseRow) -> bool:
        deployed = self._deployments.get_in(session, row.project, row.app)
        if not _is_taken_over(row, deployed):
            return False
        self._end(session, row, "superseded", "somebody deployed or stopped the application meanwhile", ACTOR)
        return True

    def _record(self, session: Session, row: AppReleaseRow, kind: str, actor: str, reason: str) -> None:
        if actor == ACTOR:
            details: Any = {"version": f"{row.app}@{row.version}", "release": row.number, "reason": reason[:200]}
            decision = Action(f"release.{kind}", user=ACTOR, project=row.project, object=row.app, details=details)
            add_decision(session, decision)
        session.add(AppReleaseEventRow(release=row.id, at=self._clock(), kind=kind, actor=actor, reason=reason))


def _check_expected(app: str, newest: AppReleaseRow | None, expected: int | None) -> None:
    number = 0 if newest is None else newest.number
    if expected is not None and expected != number:
        who = "Somebody" if newest is None or newest.begun_by is None else newest.begun_by
        raise Conflict(f"{who} has released {app} since this was planned (release {number}). Plan it again.")


def _is_served(row: AppReleaseRow, deployed: AppDeployment | None, new: NewRelease) -> bool:
    """Return whether a release has made, or is making, a version the one that answers."""
    if (row.version, row.environment) != (new.version, new.environment) or deployed is None or deployed.is_stopped:
        return False
    if row.state in TAKING_OVER:
        return not _is_taken_over(row, deployed)
    return row.state == "active" and deployed.version == new.version


def _is_taken_over(row: AppReleaseRow, deployed: AppDeployment | None) -> bool:
    """Return whether a release that is taking over has lost its place to a deployment by other means."""
    return row.state in TAKING_OVER and (deployed is None or deployed.candidate != row.version)


def _to_go_back_to(
    app: str, rows: Sequence[AppReleaseRow], deployed: AppDeployment | None
) -> tuple[AppReleaseRow, AppReleaseRow]:
    """Return the active release, and the last one of another version that was active before it. Raises Conflict."""
    active = next((row for row in rows if row.state == "active"), None)
    if active is None or deployed is None or deployed.is_stopped or deployed.version != active.version:
        now = "is stopped" if deployed is None or deployed.is_stopped else f"has {deployed.ref}, which no release made"
        raise Conflict(f"{app} {now}, so there is nothing to undo. To deploy a version: llmos app deploy {app}@N")
    # Behind a rollback, those that it went back over aren't there any more.
    last = active.restores or active.number
    for row in rows:
        if row.number < last and row.state == "superseded" and row.active_at and row.version != active.version:
            return active, row
    raise Conflict(
        f"No other release of {app} was there before {app}@{active.version}. To deploy a version: llmos app deploy"
        f" {app}@N"
    )
