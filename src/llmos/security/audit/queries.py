"""Queries of the tables of the audit log. None commits: the public functions of the room do."""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.security.audit.tables import AuditRow, CheckpointRow

_ROWS_AT_ONCE = 1000


def last_entry(session: Session) -> AuditRow | None:
    return session.scalars(select(AuditRow).order_by(AuditRow.number.desc()).limit(1)).one_or_none()


def last_checkpoint(session: Session) -> CheckpointRow | None:
    return session.scalars(select(CheckpointRow).order_by(CheckpointRow.number.desc()).limit(1)).one_or_none()


def checkpoints(session: Session) -> Sequence[CheckpointRow]:
    return session.scalars(select(CheckpointRow).order_by(CheckpointRow.number)).all()


def newest(
    session: Session,
    *,
    project: str | None,
    since: str | None,
    actor: str | None,
    action: str | None,
    before: int | None,
    limit: int,
) -> Sequence[AuditRow]:
    """Return the newest entries first. `action`: one, or all of a noun."""
    statement = select(AuditRow).order_by(AuditRow.number.desc()).limit(limit)
    if project is not None:
        statement = statement.where(AuditRow.project == project)
    if since is not None:
        statement = statement.where(AuditRow.time >= since)
    if actor is not None:
        statement = statement.where(AuditRow.actor == actor)
    if action is not None:
        is_of_noun = AuditRow.action.startswith(f"{action}.", autoescape=True)
        statement = statement.where((AuditRow.action == action) | is_of_noun)
    if before is not None:
        statement = statement.where(AuditRow.number < before)
    return session.scalars(statement).all()


def all_entries(session: Session) -> Iterator[AuditRow]:
    """Yield every entry in order, a part of them at a time."""
    last: int | None = None
    while True:
        statement = select(AuditRow).order_by(AuditRow.number).limit(_ROWS_AT_ONCE)
        rows = session.scalars(statement if last is None else statement.where(AuditRow.number > last)).all()
        yield from rows
        if len(rows) < _ROWS_AT_ONCE:
            return
        last = rows[-1].number
        session.expunge_all()
