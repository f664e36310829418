"""Queries of feedback. None commits: the public functions of the room do."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.removal import remove_found
from llmos.data.feedback.tables import FeedbackRow

KeyedRow = tuple[FeedbackRow, ObjectKeyRow | None]


def page(
    session: Session, project: str, now: datetime, *, before: int | None, limit: int, **equal: str | None
) -> Sequence[KeyedRow]:
    """Return the project's feedback, newest first, with its keys. `equal`: {column: value} to match; None: any."""
    given = {name: value for name, value in equal.items() if value is not None}
    statement = _of(project, now).filter_by(**given)
    if before is not None:
        statement = statement.where(FeedbackRow.number < before)
    return [(row[0], row[1]) for row in session.execute(statement.order_by(FeedbackRow.number.desc()).limit(limit))]


def with_id(session: Session, project: str, id: str, now: datetime) -> FeedbackRow | None:
    """Return feedback of the project that hasn't expired, or None."""
    if not id.isprintable():  # PostgreSQL rejects text with a NUL.
        return None
    statement = select(FeedbackRow).where(
        FeedbackRow.id == id, FeedbackRow.project == project, FeedbackRow.expires_at > now
    )
    return session.scalars(statement).one_or_none()


def earlier(session: Session, project: str, actor: str, kind: str, answer: str) -> FeedbackRow | None:
    """Return what this person has said of the answer before, expired or not, locked until the transaction ends."""
    statement = select(FeedbackRow).filter_by(project=project, actor=actor, kind=kind, answer=answer)
    return session.scalars(statement.with_for_update()).one_or_none()


def remove(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(FeedbackRow).where(FeedbackRow.id.in_(ids)))
    key_queries.remove_object_keys(session, ids)


def remove_objects(session: Session, project: str, ids: Collection[str]) -> Sequence[str]:
    """Delete the project's feedback among these objects. Return the ids."""
    statement = select(FeedbackRow.id).where(FeedbackRow.project == project, FeedbackRow.id.in_(ids))
    found = session.scalars(statement).all()
    remove(session, found)
    return found


def remove_expired(session: Session, now: datetime) -> None:
    """Delete the feedback of all projects that has expired."""
    remove_found(session, select(FeedbackRow.id).where(FeedbackRow.expires_at <= now), remove)


def remove_all_of(session: Session, project: str) -> None:
    """Delete the feedback of a project."""
    remove_found(session, select(FeedbackRow.id).where(FeedbackRow.project == project), remove)


def remove_all(session: Session) -> None:
    """Delete that of all projects: all is encrypted."""
    session.execute(delete(FeedbackRow))


def set_expiry(session: Session, project: str, expires_at: Callable[[datetime], datetime]) -> None:
    """Let the project's feedback expire at what the function returns for the time at which it was given."""
    for row in session.scalars(select(FeedbackRow).where(FeedbackRow.project == project)):
        row.expires_at = expires_at(row.created_at)


def _of(project: str, now: datetime) -> Any:
    return (
        select(FeedbackRow, ObjectKeyRow)
        .outerjoin(ObjectKeyRow, ObjectKeyRow.object_id == FeedbackRow.id)
        .where(FeedbackRow.project == project, FeedbackRow.expires_at > now)
    )
