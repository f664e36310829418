"""Queries of the data keys of objects. None commits."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core.encryption.tables import ObjectKeyRow


def object_key(session: Session, object_id: str) -> ObjectKeyRow | None:
    return session.get(ObjectKeyRow, object_id)


def num_objects(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(ObjectKeyRow)).one()


def wrapped_under(session: Session, key_id: str, limit: int) -> Sequence[ObjectKeyRow]:
    """Return up to `limit` data keys that are wrapped under this key of the ring."""
    return session.scalars(select(ObjectKeyRow).where(ObjectKeyRow.key_id == key_id).limit(limit)).all()


def remove_object_keys(session: Session, object_ids: Collection[str]) -> None:
    session.execute(delete(ObjectKeyRow).where(ObjectKeyRow.object_id.in_(object_ids)))


def remove_object_keys_of(session: Session, project: str) -> None:
    session.execute(delete(ObjectKeyRow).where(ObjectKeyRow.project == project))


def remove_all_object_keys(session: Session) -> None:
    session.execute(delete(ObjectKeyRow))
