"""Queries of runs of evals. None commits."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core.encryption import queries as key_queries
from llmos.data.evals.tables import EvalAttemptRow, EvalRunRow

_AT_ONCE = 500


def eval_run(session: Session, project: str, id: str) -> EvalRunRow | None:
    if not id.isprintable():  # PostgreSQL rejects text with a NUL.
        return None
    statement = select(EvalRunRow).where(EvalRunRow.project == project, EvalRunRow.id == id)
    return session.scalars(statement).one_or_none()


def unfinished_run(session: Session, project: str, digest: str) -> EvalRunRow | None:
    """Return the newest run that does the same and hasn't finished."""
    statement = select(EvalRunRow).where(EvalRunRow.project == project, EvalRunRow.digest == digest)
    statement = statement.where(EvalRunRow.state == "unfinished").order_by(EvalRunRow.number.desc())
    return session.scalars(statement.limit(1)).one_or_none()


def newest_run(session: Session, project: str, digest: str) -> EvalRunRow | None:
    """Return the newest run that does the same."""
    statement = select(EvalRunRow).where(EvalRunRow.project == project, EvalRunRow.digest == digest)
    return session.scalars(statement.order_by(EvalRunRow.number.desc()).limit(1)).one_or_none()


def newest_runs(session: Session, project: str, suite: str | None, limit: int) -> Sequence[EvalRunRow]:
    statement = select(EvalRunRow).where(EvalRunRow.project == project)
    if suite is not None:
        statement = statement.where(EvalRunRow.suite == suite)
    return session.scalars(statement.order_by(EvalRunRow.number.desc()).limit(limit)).all()


def recent_ids(session: Session, project: str, limit: int) -> Sequence[str]:
    statement = select(EvalRunRow.id).where(EvalRunRow.project == project).order_by(EvalRunRow.number.desc())
    return session.scalars(statement.limit(limit)).all()


def attempts_of(session: Session, run_id: str) -> Sequence[EvalAttemptRow]:
    statement = select(EvalAttemptRow).where(EvalAttemptRow.run_id == run_id)
    return session.scalars(statement.order_by(EvalAttemptRow.model, EvalAttemptRow.case, EvalAttemptRow.repeat)).all()


def num_attempts(session: Session, run_ids: Collection[str]) -> dict[str, int]:
    """Return how many attempts each run has."""
    statement = select(EvalAttemptRow.run_id, func.count()).where(EvalAttemptRow.run_id.in_(run_ids))
    return {row[0]: row[1] for row in session.execute(statement.group_by(EvalAttemptRow.run_id))}


def remove_runs(session: Session, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        session.execute(delete(EvalAttemptRow).where(EvalAttemptRow.run_id.in_(some)))
        session.execute(delete(EvalRunRow).where(EvalRunRow.id.in_(some)))
        key_queries.remove_object_keys(session, some)


def remove_all_of(session: Session, project: str) -> None:
    """Delete the runs of a project."""
    remove_runs(session, session.scalars(select(EvalRunRow.id).where(EvalRunRow.project == project)).all())


def remove_before(session: Session, project: str, oldest: datetime) -> None:
    """Delete the runs of a project that began before."""
    statement = select(EvalRunRow.id).where(EvalRunRow.project == project, EvalRunRow.created_at < oldest)
    remove_runs(session, session.scalars(statement).all())


def remove_expired(session: Session, now: datetime) -> None:
    """Delete the runs of all projects that were made of what isn't kept any more."""
    remove_runs(session, session.scalars(select(EvalRunRow.id).where(EvalRunRow.expires_at <= now)).all())


def remove_objects(session: Session, project: str, ids: Collection[str]) -> list[str]:
    """Delete those of these objects that are runs of a project, and return their ids."""
    found: list[str] = []
    listed = [*ids]
    for start in range(0, len(listed), _AT_ONCE):
        some = listed[start : start + _AT_ONCE]
        statement = select(EvalRunRow.id).where(EvalRunRow.project == project, EvalRunRow.id.in_(some))
        found += session.scalars(statement).all()
    remove_runs(session, found)
    return found


def remove_all(session: Session) -> None:
    """Delete those of all projects: all are encrypted."""
    for kind in (EvalAttemptRow, EvalRunRow):
        session.execute(delete(kind))
