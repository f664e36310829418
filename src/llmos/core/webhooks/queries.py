"""Queries of webhooks and their messages. None commits."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core.encryption import queries as key_queries
from llmos.core.removal import remove_found
from llmos.core.webhooks.tables import AttemptRow, MessageRow, WebhookRow


def webhook(session: Session, project: str, name: str) -> WebhookRow | None:
    statement = select(WebhookRow).where(WebhookRow.project == project, WebhookRow.name == name)
    return session.scalars(statement).one_or_none()


def webhook_with_id(session: Session, id: str) -> WebhookRow | None:
    return session.scalars(select(WebhookRow).where(WebhookRow.id == id)).one_or_none()


def webhooks(session: Session, project: str) -> Sequence[WebhookRow]:
    return session.scalars(select(WebhookRow).where(WebhookRow.project == project).order_by(WebhookRow.name)).all()


def num_pending(session: Session, project: str) -> dict[str, int]:
    """Return {id of a webhook: its messages that aren't delivered yet}."""
    statement = select(MessageRow.webhook_id, func.count()).where(
        MessageRow.project == project, MessageRow.state == "pending"
    )
    return {row[0]: row[1] for row in session.execute(statement.group_by(MessageRow.webhook_id))}


def message(session: Session, id: str, *, lock: bool = False) -> MessageRow | None:
    statement = select(MessageRow).where(MessageRow.id == id)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def known_keys(session: Session, webhook_ids: Collection[str], key: str) -> set[str]:
    """Return the ids of those webhooks that have a message with this key."""
    statement = select(MessageRow.webhook_id).where(MessageRow.webhook_id.in_(webhook_ids), MessageRow.key == key)
    return set(session.scalars(statement))


def webhooks_with_due(session: Session, now: datetime, limit: int) -> Sequence[str]:
    """Return the ids of the webhooks with a message that is due, the one that waits longest first."""
    first = func.min(MessageRow.next_attempt_at)
    statement = select(MessageRow.webhook_id).where(MessageRow.state == "pending", MessageRow.next_attempt_at <= now)
    return session.scalars(statement.group_by(MessageRow.webhook_id).order_by(first).limit(limit)).all()


def due_message(session: Session, webhook_id: str, now: datetime) -> MessageRow | None:
    """Return the webhook's message that is due first, locked. One that another process has locked is left out."""
    statement = select(MessageRow).where(
        MessageRow.webhook_id == webhook_id, MessageRow.state == "pending", MessageRow.next_attempt_at <= now
    )
    statement = statement.order_by(MessageRow.next_attempt_at, MessageRow.number).limit(1)
    return session.scalars(statement.with_for_update(skip_locked=True)).one_or_none()


def attempt(session: Session, message_id: str, number: int) -> AttemptRow | None:
    return session.get(AttemptRow, (message_id, number))


def attempts(session: Session, message_ids: Collection[str]) -> dict[str, list[AttemptRow]]:
    """Return {message: its attempts, the first one first}."""
    statement = select(AttemptRow).where(AttemptRow.message_id.in_(message_ids)).order_by(AttemptRow.number)
    found: dict[str, list[AttemptRow]] = {id: [] for id in message_ids}
    for row in session.scalars(statement):
        found[row.message_id].append(row)
    return found


def messages_page(
    session: Session, webhook_ids: Collection[str], *, state: str | None, before: int | None, limit: int
) -> Sequence[MessageRow]:
    """Return messages, newest first."""
    statement = select(MessageRow).where(MessageRow.webhook_id.in_(webhook_ids))
    if state is not None:
        statement = statement.where(MessageRow.state == state)
    if before is not None:
        statement = statement.where(MessageRow.number < before)
    return session.scalars(statement.order_by(MessageRow.number.desc()).limit(limit)).all()


def remove_webhook(session: Session, row: WebhookRow) -> None:
    """Delete a webhook, its secrets and its messages."""
    remove_found(session, select(MessageRow.id).where(MessageRow.webhook_id == row.id), remove_messages)
    key_queries.remove_object_keys(session, [row.id])
    session.delete(row)


def remove_messages(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(AttemptRow).where(AttemptRow.message_id.in_(ids)))
    session.execute(delete(MessageRow).where(MessageRow.id.in_(ids)))
    key_queries.remove_object_keys(session, ids)


def remove_expired(session: Session, now: datetime) -> None:
    """Delete the log of messages that ended long ago."""
    remove_found(session, select(MessageRow.id).where(MessageRow.expires_at <= now), remove_messages)


def remove_objects(session: Session, project: str, ids: Collection[str]) -> Sequence[str]:
    """Delete the project's messages among these objects. Return their ids."""
    found = session.scalars(select(MessageRow.id).where(MessageRow.project == project, MessageRow.id.in_(ids))).all()
    remove_messages(session, found)
    return found


def remove_all_of(session: Session, project: str) -> None:
    """Delete the webhooks of a project."""
    for row in webhooks(session, project):
        remove_webhook(session, row)


def remove_all(session: Session) -> None:
    """Delete those of all projects: secrets and messages are encrypted."""
    for kind in (AttemptRow, MessageRow, WebhookRow):
        session.execute(delete(kind))
