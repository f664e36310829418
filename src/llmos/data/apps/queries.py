"""Queries of sessions, runs and handoffs. None commits: the public functions of the room do."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Select,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.tables import ObjectKeyRow, ObjectSubjectRow
from llmos.core.removal import remove_found
from llmos.core.schemas.runs import LIVE_STATES
from llmos.data.apps.tables import HandoffRow, RunRow, SessionRow, SignalRow, StepRow, TurnRow
from llmos.data.tables import RetentionRow

RunSelect = Select[RunRow]


def session_with_key(
    session: Session, project: str, id: str, now: datetime, *, lock: bool = False
) -> tuple[SessionRow, ObjectKeyRow | None] | None:
    """Return a session of the project that hasn't expired, or None."""
    if not id.isprintable():  # PostgreSQL rejects text with a NUL.
        return None
    found = session.execute(_select_session(lock), {"id": id, "project": project, "now": now}).one_or_none()
    return None if found is None else (found[0], found[1])


@cache
def _select_session(lock: bool) -> Select[SessionRow, ObjectKeyRow]:
    """Return the statement of session_with_key(), which SQLAlchemy needn't build and compare at each use."""
    statement = (
        select(SessionRow, ObjectKeyRow)
        .outerjoin(ObjectKeyRow, ObjectKeyRow.object_id == SessionRow.id)
        .where(SessionRow.id == bindparam("id"), SessionRow.project == bindparam("project"))
        .where(SessionRow.expires_at > bindparam("now"))
    )
    return statement.with_for_update(of=SessionRow) if lock else statement


def session_named(session: Session, project: str, app: str, name: str) -> SessionRow | None:
    """Return the session with this HMAC of its name, expired or not."""
    statement = select(SessionRow).where(SessionRow.project == project, SessionRow.app == app, SessionRow.name == name)
    return session.scalars(statement).one_or_none()


def sessions_page(
    session: Session, project: str, now: datetime, *, app: str | None, before: int | None, limit: int
) -> Sequence[SessionRow]:
    """Return sessions, newest first."""
    statement = select(SessionRow).where(SessionRow.project == project, SessionRow.expires_at > now)
    if app is not None:
        statement = statement.where(SessionRow.app == app)
    if before is not None:
        statement = statement.where(SessionRow.number < before)
    return session.scalars(statement.order_by(SessionRow.number.desc()).limit(limit)).all()


def turns(session: Session, session_id: str, first: int, before: int, limit: int) -> Sequence[TurnRow]:
    """Return the newest `limit` turns from `first` to `before`, oldest first."""
    statement = select(TurnRow).where(TurnRow.session_id == session_id, TurnRow.index >= first, TurnRow.index < before)
    return session.scalars(statement.order_by(TurnRow.index.desc()).limit(limit)).all()[::-1]


def retention_and_subjects(session: Session, project: str, object_id: str) -> tuple[str | None, set[str]]:
    """Return the retention that the project has set, and the HMACs of the persons whose data an object has."""
    rows = session.execute(_select_retention_and_subjects(), {"project": project, "object_id": object_id}).all()
    retention = next((row[1] for row in rows if row[0] == "retention"), None)
    return retention, {row[1] for row in rows if row[0] == "subject"}


@cache
def _select_retention_and_subjects() -> CompoundSelect[Any]:
    is_retention, is_subject = literal_column("'retention'", String), literal_column("'subject'", String)
    return union_all(
        select(is_retention, RetentionRow.retention).where(RetentionRow.project == bindparam("project")),
        select(is_subject, ObjectSubjectRow.subject).where(ObjectSubjectRow.object_id == bindparam("object_id")),
    )


def retention_of(session: Session, project: str) -> str | None:
    """Return the retention that the project has set."""
    return session.scalars(_select_retention(), {"project": project}).one_or_none()


@cache
def _select_retention() -> Select[str]:
    return select(RetentionRow.retention).where(RetentionRow.project == bindparam("project"))


def run_with_key(
    session: Session, project: str, id: str, now: datetime, *, lock: bool = False
) -> tuple[RunRow, ObjectKeyRow | None, str | None, bool] | None:
    """Return a run of the project that hasn't expired, its key, the project's retention and whether the run has
    signals; or None."""
    if not id.isprintable():
        return None
    found = session.execute(_select_run(lock), {"id": id, "project": project, "now": now}).one_or_none()
    return None if found is None else (found[0], found[1], found[2], found[3])


@cache
def _select_run(lock: bool) -> Select[RunRow, ObjectKeyRow, str, bool]:
    has_signals = exists().where(SignalRow.run_id == RunRow.id)
    statement = (
        select(RunRow, ObjectKeyRow, RetentionRow.retention, has_signals)
        .outerjoin(ObjectKeyRow, ObjectKeyRow.object_id == RunRow.id)
        .outerjoin(RetentionRow, RetentionRow.project == RunRow.project)
        .where(RunRow.id == bindparam("id"), RunRow.project == bindparam("project"))
        .where(RunRow.expires_at > bindparam("now"))
    )
    return statement.with_for_update(of=RunRow) if lock else statement


def runs_beside(session: Session, id: str, session_id: str | None) -> tuple[RunRow | None, RunRow | None]:
    """Return the run of any project that has this id, and the run of the session that hasn't ended. Both are locked
    until the transaction ends."""
    rows = session.scalars(_select_runs_beside(), {"id": id, "session_id": session_id}).all()
    known = next((row for row in rows if row.id == id), None)
    return known, next((row for row in rows if row is not known), None)


@cache
def _select_runs_beside() -> RunSelect:
    is_live = (RunRow.session_id == bindparam("session_id")) & RunRow.state.in_(LIVE_STATES)
    return select(RunRow).where((RunRow.id == bindparam("id")) | is_live).with_for_update()


def live_run_of(session: Session, session_id: str) -> RunRow | None:
    """Return the run of a session that hasn't ended, locked until the transaction ends."""
    return session.scalars(_select_live_run(), {"session_id": session_id}).one_or_none()


@cache
def _select_live_run() -> RunSelect:
    statement = select(RunRow).where(RunRow.session_id == bindparam("session_id"), RunRow.state.in_(LIVE_STATES))
    return statement.with_for_update()


def live_runs_of(session: Session, session_ids: Collection[str]) -> dict[str, str]:
    """Return {session: its run that hasn't ended}."""
    statement = select(RunRow.session_id, RunRow.id).where(
        RunRow.session_id.in_(session_ids), RunRow.state.in_(LIVE_STATES)
    )
    return {str(row[0]): row[1] for row in session.execute(statement)}


def runs_page(session: Session, statement: RunSelect, before: int | None, limit: int) -> Sequence[RunRow]:
    """Return the runs of runs_of(), newest first."""
    if before is not None:
        statement = statement.where(RunRow.number < before)
    return session.scalars(statement.order_by(RunRow.number.desc()).limit(limit)).all()


def runs_of(project: str, now: datetime, **equal: str | None) -> RunSelect:
    """Return the statement of a project's runs. `equal`: {column: value} to match; None: any value."""
    given = {name: value for name, value in equal.items() if value is not None}
    return select(RunRow).where(RunRow.project == project, RunRow.expires_at > now).filter_by(**given)


def to_be_continued(statement: RunSelect, now: datetime) -> RunSelect:
    """Return the statement of those runs that no process has: they are ready, or their lease has expired."""
    is_abandoned = (RunRow.state == "running") & (RunRow.lease_expires_at <= now)
    return statement.where((RunRow.state == "ready") | is_abandoned)


def steps(session: Session, run_id: str) -> Sequence[StepRow]:
    """Return the steps in the order in which they began."""
    return session.scalars(_select_steps(), {"run_id": run_id}).all()


@cache
def _select_steps() -> Select[StepRow]:
    return select(StepRow).where(StepRow.run_id == bindparam("run_id")).order_by(StepRow.number)


def steps_page(session: Session, run_id: str, *, first: int, limit: int | None, state: str | None) -> Sequence[StepRow]:
    """Return `limit` steps from the number `first` on, in one state or in any."""
    statement = _select_steps().where(StepRow.number >= first).limit(limit)
    if state is not None:
        statement = statement.where(StepRow.state == state)
    return session.scalars(statement, {"run_id": run_id}).all()


def run_counts(session: Session, project: str, now: datetime) -> Sequence[tuple[str, str, int]]:
    """Return (application, state, number of runs) of a project, in this order."""
    statement = (
        select(RunRow.app, RunRow.state, func.count())
        .where(RunRow.project == project, RunRow.expires_at > now)
        .group_by(RunRow.app, RunRow.state)
        .order_by(RunRow.app, RunRow.state)
    )
    return [(row[0], row[1], row[2]) for row in session.execute(statement)]


def steps_to_change(
    session: Session, run_id: str, keys: Collection[str], *, with_begun_effects: bool = False
) -> Sequence[StepRow]:
    """Return the steps with these keys, and the effects that were begun and haven't ended."""
    statement = _select_steps_to_change(with_begun_effects)
    return session.scalars(statement, {"run_id": run_id, "keys": [*keys]}).all()


@cache
def _select_steps_to_change(with_begun_effects: bool) -> Select[StepRow]:
    is_named = StepRow.key.in_(bindparam("keys", expanding=True))
    is_begun = StepRow.is_effect & (StepRow.state == "begun")
    return _select_steps().where(is_named | is_begun if with_begun_effects else is_named)


def step(session: Session, run_id: str, key: str) -> StepRow | None:
    return session.scalars(select(StepRow).where(StepRow.run_id == run_id, StepRow.key == key)).one_or_none()


def signals(session: Session, run_id: str) -> Sequence[SignalRow]:
    return session.scalars(select(SignalRow).where(SignalRow.run_id == run_id).order_by(SignalRow.at)).all()


def signal(session: Session, run_id: str, name: str) -> SignalRow | None:
    return session.get(SignalRow, (run_id, name))


def remove_sessions(session: Session, ids: Collection[str]) -> Sequence[str]:
    """Delete sessions with their turns and runs. Return the ids of their runs."""
    runs = session.scalars(select(RunRow.id).where(RunRow.session_id.in_(ids))).all()
    remove_runs(session, runs)
    session.execute(delete(TurnRow).where(TurnRow.session_id.in_(ids)))
    session.execute(delete(SessionRow).where(SessionRow.id.in_(ids)))
    key_queries.remove_object_keys(session, ids)
    return runs


def remove_runs(session: Session, ids: Collection[str]) -> None:
    """Delete runs with their steps and signals."""
    for kind in (StepRow, SignalRow):
        session.execute(delete(kind).where(kind.run_id.in_(ids)))
    session.execute(delete(RunRow).where(RunRow.id.in_(ids)))
    key_queries.remove_object_keys(session, ids)


def handoff(session: Session, project: str, id: str, now: datetime, *, lock: bool = False) -> HandoffRow | None:
    """Return a handoff of the project that hasn't expired, or None."""
    if not id.isprintable():
        return None
    statement = select(HandoffRow).where(
        HandoffRow.id == id, HandoffRow.project == project, HandoffRow.expires_at > now
    )
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def handoff_with_key(session: Session, project: str, key: str) -> HandoffRow | None:
    """Return the handoff that was made with this key, expired or not."""
    statement = select(HandoffRow).where(HandoffRow.project == project, HandoffRow.key == key)
    return session.scalars(statement).one_or_none()


def handoffs_page(
    session: Session, project: str, now: datetime, *, before: int | None, limit: int, **equal: str | None
) -> Sequence[HandoffRow]:
    """Return handoffs, newest first. `equal`: {column: value} to match; None: any value."""
    given = {name: value for name, value in equal.items() if value is not None}
    statement = select(HandoffRow).where(HandoffRow.project == project, HandoffRow.expires_at > now).filter_by(**given)
    if before is not None:
        statement = statement.where(HandoffRow.number < before)
    return session.scalars(statement.order_by(HandoffRow.number.desc()).limit(limit)).all()


def remove_handoffs(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(HandoffRow).where(HandoffRow.id.in_(ids)))
    key_queries.remove_object_keys(session, ids)


def remove_expired(session: Session, now: datetime) -> None:
    """Delete the sessions, runs and handoffs of all projects that have expired."""
    _remove_where(session, SessionRow.expires_at <= now, RunRow.expires_at <= now, HandoffRow.expires_at <= now)


def remove_of_app_before(session: Session, project: str, app: str, oldest: datetime) -> None:
    """Delete what an application has kept and nobody has touched since then. Runs that haven't ended stay."""
    _remove_where(
        session,
        and_(SessionRow.project == project, SessionRow.app == app, SessionRow.updated_at <= oldest),
        and_(RunRow.project == project, RunRow.app == app, RunRow.ended_at <= oldest),
        and_(HandoffRow.project == project, HandoffRow.app == app, HandoffRow.updated_at <= oldest),
    )


def remove_all_of(session: Session, project: str) -> None:
    """Delete the sessions, runs and handoffs of a project."""
    _remove_where(session, SessionRow.project == project, RunRow.project == project, HandoffRow.project == project)


def remove_all(session: Session) -> None:
    """Delete those of all projects: all are encrypted."""
    for kind in (StepRow, SignalRow, RunRow, TurnRow, SessionRow, HandoffRow):
        session.execute(delete(kind))


def remove_objects(
    session: Session, project: str, ids: Collection[str]
) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Delete the project's sessions, runs and handoffs among these objects. Return the ids of each."""
    sessions = session.scalars(select(SessionRow.id).where(SessionRow.project == project, SessionRow.id.in_(ids))).all()
    runs = [*remove_sessions(session, sessions)]
    others = session.scalars(select(RunRow.id).where(RunRow.project == project, RunRow.id.in_(ids))).all()
    remove_runs(session, others)
    handoffs = session.scalars(select(HandoffRow.id).where(HandoffRow.project == project, HandoffRow.id.in_(ids))).all()
    remove_handoffs(session, handoffs)
    return sessions, [*runs, *others], handoffs


def set_expiry(session: Session, project: str, expires_at: Callable[[datetime], datetime]) -> None:
    """Let the project's sessions, runs and handoffs expire at what the function returns for their last change."""
    for row in session.scalars(select(SessionRow).where(SessionRow.project == project)):
        row.expires_at = expires_at(row.updated_at)
    for run in session.scalars(select(RunRow).where(RunRow.project == project)):
        run.expires_at = expires_at(run.ended_at or run.created_at)
    for asked in session.scalars(select(HandoffRow).where(HandoffRow.project == project)):
        asked.expires_at = expires_at(asked.updated_at)


def _remove_where(session: Session, of_sessions: Any, of_runs: Any, of_handoffs: Any) -> None:
    remove_found(session, select(SessionRow.id).where(of_sessions), remove_sessions)
    remove_found(session, select(RunRow.id).where(of_runs), remove_runs)
    remove_found(session, select(HandoffRow.id).where(of_handoffs), remove_handoffs)
