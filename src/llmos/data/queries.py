"""What the rooms of callers' data ask of their tables. Never commits: the public functions do."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.data.tables import BatchRow, FileRow, ResponseRow

R = TypeVar("R", FileRow, BatchRow)


def owned(session: Session, kind: type[R], tenant: str, id: str, *, lock: bool = False) -> R | None:
    """The tenant's own row of this id; other tenants' are as good as not there."""
    if not id.isprintable():
        return None  # PostgreSQL takes no text with a zero in it, and we make no such id.
    statement = select(kind).where(kind.id == id, kind.tenant == tenant)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def page(
    session: Session, kind: type[R], tenant: str, *, after: int | None, limit: int, newest_first: bool, **equal: str
) -> Sequence[R]:
    """So many of the tenant's rows behind the one with the number `after`."""
    statement = select(kind).where(kind.tenant == tenant).filter_by(**equal)
    if after is not None:
        statement = statement.where(kind.number < after if newest_first else kind.number > after)
    order = kind.number.desc() if newest_first else kind.number.asc()
    return session.scalars(statement.order_by(order).limit(limit)).all()


def file_ids(session: Session) -> set[str]:
    return set(session.scalars(select(FileRow.id)))


def batch(session: Session, id: str) -> BatchRow:
    """A batch that is there, locked until the transaction ends."""
    return session.scalars(select(BatchRow).where(BatchRow.id == id).with_for_update()).one()


def batches_in(session: Session, statuses: Collection[str]) -> Sequence[BatchRow]:
    """Everybody's batches in one of these statuses, oldest first."""
    return session.scalars(select(BatchRow).where(BatchRow.status.in_(statuses)).order_by(BatchRow.number)).all()


def readers(session: Session, file_id: str, statuses: Collection[str]) -> Sequence[BatchRow]:
    """The batches in one of these statuses that read a file."""
    statement = select(BatchRow).where(BatchRow.input_file_id == file_id, BatchRow.status.in_(statuses))
    return session.scalars(statement.order_by(BatchRow.number)).all()


def num_batches(session: Session) -> dict[str, int]:
    """How many batches there are, by status."""
    counts = session.execute(select(BatchRow.status, func.count()).group_by(BatchRow.status))
    return {row[0]: row[1] for row in counts}


def response(session: Session, tenant: str, id: str, now: datetime) -> ResponseRow | None:
    """A response of the tenant's own that has not expired."""
    if not id.isprintable():  # PostgreSQL takes no NUL.
        return None
    return session.scalars(
        select(ResponseRow).where(ResponseRow.id == id, ResponseRow.tenant == tenant, ResponseRow.expires_at > now)
    ).one_or_none()


def remove_expired_responses(session: Session, now: datetime) -> None:
    session.execute(delete(ResponseRow).where(ResponseRow.expires_at <= now))
