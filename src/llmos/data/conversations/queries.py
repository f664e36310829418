"""Queries of conversations. None commits: the public functions of the room do."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.removal import remove_found
from llmos.data.conversations.tables import ConversationMessageRow, ConversationRow

KeyedRow = tuple[ConversationRow, ObjectKeyRow | None]


def conversation(
    session: Session, project: str, actor: str, id: str, now: datetime, *, lock: bool = False
) -> KeyedRow | None:
    """Return a conversation of this person that hasn't expired, with its key, or None."""
    if not id.isprintable():  # PostgreSQL rejects text with a NUL.
        return None
    statement = _of(project, actor, now).where(ConversationRow.id == id)
    found = session.execute(statement.with_for_update(of=ConversationRow) if lock else statement).one_or_none()
    return None if found is None else (found[0], found[1])


def page(
    session: Session, project: str, actor: str, now: datetime, *, behind: ConversationRow | None, limit: int
) -> Sequence[KeyedRow]:
    """Return the conversations of a person that were used last, behind another one of them."""
    statement = _of(project, actor, now)
    if behind is not None:
        is_older = ConversationRow.updated_at < behind.updated_at
        is_same_moment = and_(ConversationRow.updated_at == behind.updated_at, ConversationRow.number < behind.number)
        statement = statement.where(or_(is_older, is_same_moment))
    statement = statement.order_by(ConversationRow.updated_at.desc(), ConversationRow.number.desc())
    return [(row[0], row[1]) for row in session.execute(statement.limit(limit))]


def messages(session: Session, id: str) -> Sequence[ConversationMessageRow]:
    """Return all messages of a conversation, in the order in which they were added."""
    statement = select(ConversationMessageRow).where(ConversationMessageRow.conversation_id == id)
    return session.scalars(statement.order_by(ConversationMessageRow.index)).all()


def role_of(session: Session, id: str, index: int) -> str | None:
    """Return the role of a message, or None if there is no such message."""
    statement = select(ConversationMessageRow.role).where(
        ConversationMessageRow.conversation_id == id, ConversationMessageRow.index == index
    )
    return session.scalars(statement).one_or_none()


def remove(session: Session, ids: Collection[str]) -> None:
    """Delete conversations with their messages and keys."""
    session.execute(delete(ConversationMessageRow).where(ConversationMessageRow.conversation_id.in_(ids)))
    session.execute(delete(ConversationRow).where(ConversationRow.id.in_(ids)))
    key_queries.remove_object_keys(session, ids)


def remove_objects(session: Session, project: str, ids: Collection[str]) -> Sequence[str]:
    """Delete the project's conversations among these objects. Return their ids."""
    statement = select(ConversationRow.id).where(ConversationRow.project == project, ConversationRow.id.in_(ids))
    found = session.scalars(statement).all()
    remove(session, found)
    return found


def remove_expired(session: Session, now: datetime) -> None:
    """Delete the conversations of all projects that have expired."""
    remove_found(session, select(ConversationRow.id).where(ConversationRow.expires_at <= now), remove)


def remove_all_of(session: Session, project: str) -> None:
    """Delete the conversations of a project."""
    remove_found(session, select(ConversationRow.id).where(ConversationRow.project == project), remove)


def remove_all(session: Session) -> None:
    """Delete those of all projects: all are encrypted."""
    session.execute(delete(ConversationMessageRow))
    session.execute(delete(ConversationRow))


def set_expiry(session: Session, project: str, expires_at: Callable[[datetime], datetime]) -> None:
    """Let the project's conversations expire at what the function returns for their last change."""
    for row in session.scalars(select(ConversationRow).where(ConversationRow.project == project)):
        row.expires_at = expires_at(row.updated_at)


def _of(project: str, actor: str, now: datetime) -> Any:
    return (
        select(ConversationRow, ObjectKeyRow)
        .outerjoin(ObjectKeyRow, ObjectKeyRow.object_id == ConversationRow.id)
        .where(ConversationRow.project == project, ConversationRow.actor == actor, ConversationRow.expires_at > now)
    )
