"""Queries of the tables in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session, load_only

from llmos.core.encryption.tables import ObjectKeyRow, ObjectSubjectRow
from llmos.data.tables import BatchRow, ErasedContentRow, ErasureRow, FileRow, ResponseRow, RetentionRow

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


def responses(
    session: Session, tenant: str, ids: Sequence[str], now: datetime
) -> Sequence[tuple[ResponseRow, ObjectKeyRow | None]]:
    """Return those of some responses of the tenant that have not expired, each with its key. The ids are of answers."""
    statement = (
        select(ResponseRow, ObjectKeyRow)
        .outerjoin(ObjectKeyRow, ObjectKeyRow.object_id == ResponseRow.id)
        .where(ResponseRow.id.in_(ids), ResponseRow.tenant == tenant, ResponseRow.expires_at > now)
    )
    return [(row[0], row[1]) for row in session.execute(statement)]


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
    for kind in (ObjectKeyRow, ObjectSubjectRow):
        session.execute(delete(kind).where(kind.object_id.in_(expired)))
    session.execute(delete(ResponseRow).where(ResponseRow.expires_at <= now))


def retentions(session: Session) -> Sequence[RetentionRow]:
    return session.scalars(select(RetentionRow).order_by(RetentionRow.project)).all()


def responses_of(session: Session, tenant: str) -> Sequence[ResponseRow]:
    """Return the tenant's responses, without their content."""
    columns = load_only(ResponseRow.id, ResponseRow.created_at, ResponseRow.expires_at)
    return session.scalars(select(ResponseRow).where(ResponseRow.tenant == tenant).options(columns)).all()


def remove_responses(session: Session, tenant: str, ids: Collection[str]) -> Sequence[str]:
    """Delete those of the tenant's responses that have these ids. Return their ids."""
    found = session.scalars(select(ResponseRow.id).where(ResponseRow.tenant == tenant, ResponseRow.id.in_(ids))).all()
    session.execute(delete(ResponseRow).where(ResponseRow.id.in_(found)))
    return found


def remove_batches_before(session: Session, tenant: str, oldest: datetime, live: Collection[str]) -> int:
    """Delete the tenant's batches that were created before and have ended. Return how many."""
    old = [row for row in batches_of(session, tenant) if row.created_at <= oldest and row.status not in live]
    for row in old:
        session.delete(row)
    return len(old)


def batches_of(session: Session, tenant: str) -> Sequence[BatchRow]:
    """Return the tenant's batches, oldest first."""
    return session.scalars(select(BatchRow).where(BatchRow.tenant == tenant).order_by(BatchRow.number)).all()


def files_of(session: Session, tenant: str) -> Sequence[FileRow]:
    """Return the tenant's files, oldest first."""
    return session.scalars(select(FileRow).where(FileRow.tenant == tenant).order_by(FileRow.number)).all()


def files_before(session: Session, tenant: str, oldest: datetime, live: Collection[str]) -> Sequence[str]:
    """Return the ids of the tenant's files that were created before and that no running batch reads."""
    read = select(BatchRow.input_file_id).where(BatchRow.tenant == tenant, BatchRow.status.in_(live))
    statement = select(FileRow.id).where(FileRow.tenant == tenant, FileRow.created_at <= oldest)
    return session.scalars(statement.where(FileRow.id.not_in(read))).all()


def remove_files(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(FileRow).where(FileRow.id.in_(ids)))


def set_file_size(session: Session, id: str, size: int) -> None:
    for row in session.scalars(select(FileRow).where(FileRow.id == id)):
        row.size = size


def tenants(session: Session) -> Sequence[str]:
    """Return every tenant for which something is kept."""
    kinds = (FileRow, BatchRow, ResponseRow)
    return sorted({tenant for kind in kinds for tenant in session.scalars(select(kind.tenant).distinct())})


def blocked(session: Session, hmacs: Collection[str]) -> set[str]:
    """Return which of these contents were erased."""
    return set(session.scalars(select(ErasedContentRow.hmac).where(ErasedContentRow.hmac.in_(hmacs))))


def has_blocked(session: Session, project: str) -> bool:
    """Return whether any content of the project was erased."""
    return (
        session.scalars(select(ErasedContentRow.hmac).where(ErasedContentRow.project == project).limit(1)).first()
        is not None
    )


def newest_erasure(session: Session) -> int:
    """Return the number of the newest erasure; 0 if there is none."""
    return session.scalars(select(func.max(ErasureRow.number))).one() or 0


def projects_erased_after(session: Session, number: int) -> set[str]:
    """Return the projects with an erasure after this one."""
    return set(session.scalars(select(ErasureRow.project).where(ErasureRow.number > number)))


def num_responses_since(session: Session, since: datetime, now: datetime, tenant: str | None) -> int:
    counted = select(func.count()).select_from(ResponseRow)
    return session.scalars(counted.where(*_kept_since(since, now, tenant))).one()


def responses_since(
    session: Session, since: datetime, now: datetime, tenant: str | None, *, after: str, limit: int
) -> Sequence[tuple[str, str, datetime]]:
    """Return id, tenant and time of up to `limit` responses that haven't expired, by id, after the one with that id."""
    columns = select(ResponseRow.id, ResponseRow.tenant, ResponseRow.created_at)
    statement = columns.where(*_kept_since(since, now, tenant), ResponseRow.id > after)
    return [(row[0], row[1], row[2]) for row in session.execute(statement.order_by(ResponseRow.id).limit(limit))]


def batches_since(session: Session, since: datetime, tenant: str | None) -> Sequence[BatchRow]:
    """Return the batches of one tenant, or of all, that have answers, oldest first."""
    statement = select(BatchRow).where(BatchRow.created_at >= since, BatchRow.output_file_id.is_not(None))
    if tenant is not None:
        statement = statement.where(BatchRow.tenant == tenant)
    return session.scalars(statement.order_by(BatchRow.number)).all()


def _kept_since(since: datetime, now: datetime, tenant: str | None) -> list[ColumnElement[bool]]:
    of_tenant = [] if tenant is None else [ResponseRow.tenant == tenant]
    return [ResponseRow.created_at >= since, ResponseRow.expires_at > now, *of_tenant]
