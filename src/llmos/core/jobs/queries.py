"""The queries of jobs. None of them commits: the public functions of jobs.py do."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core.jobs.tables import JobRow


def job(session: Session, id: str, *, lock: bool = False) -> JobRow | None:
    if not id.isprintable():
        return None  # PostgreSQL refuses a text with a NUL, and no id has one.
    statement = select(JobRow).where(JobRow.id == id)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def jobs_in(session: Session, states: Collection[str], kind: str | None = None) -> Sequence[JobRow]:
    """Return the jobs in one of these states, oldest first."""
    statement = select(JobRow).where(JobRow.state.in_(states)).order_by(JobRow.number)
    return session.scalars(statement if kind is None else statement.where(JobRow.kind == kind)).all()


def newest_jobs(
    session: Session, *, project: str | None, kind: str | None, state: str | None, before: int | None, limit: int
) -> Sequence[JobRow]:
    """Return the newest jobs of the project, of the kind and in the state, if given, older than number `before`."""
    statement = select(JobRow).order_by(JobRow.number.desc()).limit(limit)
    if project is not None:
        statement = statement.where(JobRow.project == project)
    if kind is not None:
        statement = statement.where(JobRow.kind == kind)
    if state is not None:
        statement = statement.where(JobRow.state == state)
    if before is not None:
        statement = statement.where(JobRow.number < before)
    return session.scalars(statement).all()


def has_ended_before(session: Session, moment: datetime) -> bool:
    return session.scalars(select(JobRow.number).where(JobRow.ended_at < moment).limit(1)).first() is not None


def remove_ended_before(session: Session, moment: datetime) -> None:
    session.execute(delete(JobRow).where(JobRow.ended_at < moment))
