"""Queries of the data keys of objects. None commits."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core.encryption.tables import ObjectKeyRow, ObjectSubjectRow

_AT_ONCE = 500


def object_key(session: Session, object_id: str) -> ObjectKeyRow | None:
    return session.get(ObjectKeyRow, object_id)


def object_keys(session: Session, prefix: str) -> Sequence[ObjectKeyRow]:
    """Return the data keys of the objects whose ids begin with `prefix`."""
    return session.scalars(select(ObjectKeyRow).where(ObjectKeyRow.object_id.startswith(prefix, autoescape=True))).all()


def num_objects(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(ObjectKeyRow)).one()


def wrapped_under(session: Session, key_id: str, limit: int) -> Sequence[ObjectKeyRow]:
    """Return up to `limit` data keys that are wrapped under this key of the ring."""
    return session.scalars(select(ObjectKeyRow).where(ObjectKeyRow.key_id == key_id).limit(limit)).all()


def subjects_of(session: Session, object_id: str) -> Sequence[str]:
    """Return the HMACs of the persons whose data an object has."""
    return session.scalars(select(ObjectSubjectRow.subject).where(ObjectSubjectRow.object_id == object_id)).all()


def subjects_of_objects(session: Session, project: str, object_ids: Sequence[str]) -> set[str]:
    """Return the HMACs of the persons whose data some objects of a project have."""
    found: set[str] = set()
    for start in range(0, len(object_ids), _AT_ONCE):
        some = object_ids[start : start + _AT_ONCE]
        statement = select(ObjectSubjectRow.subject).where(
            ObjectSubjectRow.object_id.in_(some), ObjectSubjectRow.project == project
        )
        found |= {*session.scalars(statement)}
    return found


def objects_of(session: Session, project: str, subject: str) -> Sequence[str]:
    """Return the ids of the objects with a person's data."""
    statement = select(ObjectSubjectRow.object_id).where(
        ObjectSubjectRow.project == project, ObjectSubjectRow.subject == subject
    )
    return session.scalars(statement.order_by(ObjectSubjectRow.object_id)).all()


def remove_object_keys(session: Session, object_ids: Collection[str]) -> None:
    for kind in (ObjectKeyRow, ObjectSubjectRow):
        session.execute(delete(kind).where(kind.object_id.in_(object_ids)))


def remove_object_keys_of(session: Session, project: str) -> None:
    for kind in (ObjectKeyRow, ObjectSubjectRow):
        session.execute(delete(kind).where(kind.project == project))


def remove_all_object_keys(session: Session) -> None:
    for kind in (ObjectKeyRow, ObjectSubjectRow):
        session.execute(delete(kind))
