"""Queries of the tables in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core.encryption.tables import ObjectKeyRow
from llmos.data.tables import BatchRow, FileRow, ResponseRow

R = TypeVar("R", FileRow, BatchRow)


def owned(session: Session, kind: type[R], tenant: str, id: str, *, lock: bool = False) -> R | None:
    """Return the tenant's row with this id, or None. Rows of other tenants are treated as missing."""
    if not id.isprintable():
        return None  # PostgreSQL rejects text with a NUL, and no id contains one.
    statement = select(kind).where(kind.id == id, kind.tenant == tenant)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def page(
    session: Session, kind: type[R], tenant: str, *, after: int | None, limit: int, newest_first: bool, **equal: str
) -> Sequence[R]:
    """Return up to `limit` of the tenant's rows after the one numbered `after`. `equal`: {column: value} to match."""
    statement = select(kind).where(kind.tenant == tenant).filter_by(**equal)
    if after is not None:
        statement = statement.where(kind.number < after if newest_first else kind.number > after)
    order = kind.number.desc() if newest_first else kind.number.asc()
    return session.scalars(statement.order_by(order).limit(limit)).all()


def file_ids(session: Session) -> set[str]:
    """Return the ids of all files."""
    return set(session.scalars(select(FileRow.id)))


def batch(session: Session, id: str) -> BatchRow:
    """Return a batch that exists, locked until the transaction ends."""
    return session.scalars(select(BatchRow).where(BatchRow.id == id).with_for_update()).one()


def batches_in(session: Session, statuses: Collection[str]) -> Sequence[BatchRow]:
    """Return all tenants' batches in one of these statuses, oldest first."""
    return session.scalars(select(BatchRow).where(BatchRow.status.in_(statuses)).order_by(BatchRow.number)).all()


def readers(session: Session, file_id: str, statuses: Collection[str]) -> Sequence[BatchRow]:
    """Return the batches in one of these statuses whose input is this file."""
    statement = select(BatchRow).where(BatchRow.input_file_id == file_id, BatchRow.status.in_(statuses))
    return session.scalars(statement.order_by(BatchRow.number)).all()


def num_batches_of(session: Session, tenant: str, statuses: Collection[str]) -> int:
    """Return the number of the tenant's batches in one of these statuses."""
    counted = select(func.count()).select_from(BatchRow)
    return session.scalars(counted.where(BatchRow.tenant == tenant, BatchRow.status.in_(statuses))).one()


def remove_all_of(session: Session, tenant: str) -> Sequence[str]:
    """Delete the tenant's files, batches and responses. Return the ids of the files."""
    ids = session.scalars(select(FileRow.id).where(FileRow.tenant == tenant)).all()
    for kind in (FileRow, BatchRow, ResponseRow):
        session.execute(delete(kind).where(kind.tenant == tenant))
    return ids


def num_batches(session: Session) -> dict[str, int]:
    """Return {status: number of batches}."""
    counts = session.execute(select(BatchRow.status, func.count()).group_by(BatchRow.status))
    return {row[0]: row[1] for row in counts}


def response(session: Session, tenant: str, id: str, now: datetime) -> ResponseRow | None:
    """Return a response of the tenant that has not expired, or None."""
    if not id.isprintable():  # PostgreSQL rejects text with a NUL.
        return None
    return session.scalars(
        select(ResponseRow).where(ResponseRow.id == id, ResponseRow.tenant == tenant, ResponseRow.expires_at > now)
    ).one_or_none()


def num_plain_responses(session: Session) -> int:
    """Return the number of responses that aren't encrypted."""
    return session.scalars(select(func.count()).select_from(ResponseRow).where(ResponseRow.sealed.is_(None))).one()


def plain_responses(session: Session, limit: int) -> Sequence[ResponseRow]:
    """Return up to `limit` of them."""
    return session.scalars(select(ResponseRow).where(ResponseRow.sealed.is_(None)).limit(limit)).all()


def plain_response(session: Session, id: str) -> ResponseRow | None:
    """Return one of them, locked until the transaction ends."""
    statement = select(ResponseRow).where(ResponseRow.id == id, ResponseRow.sealed.is_(None))
    return session.scalars(statement.with_for_update()).one_or_none()


def files_with_tenants(session: Session) -> Sequence[tuple[str, str]]:
    """Return (id, tenant) of every file."""
    return [(row[0], row[1]) for row in session.execute(select(FileRow.id, FileRow.tenant))]


def remove_encrypted(session: Session) -> Sequence[str]:
    """Delete the responses and files that are encrypted, of all tenants. Return the ids of the files."""
    encrypted = select(ObjectKeyRow.object_id)
    ids = session.scalars(select(FileRow.id).where(FileRow.id.in_(encrypted))).all()
    session.execute(delete(FileRow).where(FileRow.id.in_(ids)))
    session.execute(delete(ResponseRow).where(ResponseRow.sealed.is_not(None)))
    return ids


def remove_expired_responses(session: Session, now: datetime) -> None:
    """Delete the responses of all tenants that have expired, and their keys."""
    expired = select(ResponseRow.id).where(ResponseRow.expires_at <= now)
    session.execute(delete(ObjectKeyRow).where(ObjectKeyRow.object_id.in_(expired)))
    session.execute(delete(ResponseRow).where(ResponseRow.expires_at <= now))
