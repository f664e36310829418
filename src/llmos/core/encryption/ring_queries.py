"""Queries of the key ring. None commits."""

from collections.abc import Sequence

from sqlalchemy import delete, func, inspect, select
from sqlalchemy.orm import Session

from llmos.core.encryption.tables import RingBase, RingKeyRow


def has_table(session: Session) -> bool:
    return inspect(session.connection()).has_table(RingKeyRow.__tablename__)


def make_table(session: Session) -> None:
    RingBase.metadata.create_all(session.connection())


def key(session: Session, id: str) -> RingKeyRow | None:
    return session.get(RingKeyRow, id)


def current(session: Session, kind: str, project: str, subject: str = "") -> RingKeyRow | None:
    """Return the key that new objects use."""
    statement = select(RingKeyRow).where(
        RingKeyRow.project == project,
        RingKeyRow.kind == kind,
        RingKeyRow.subject == subject,
        RingKeyRow.replaced_at.is_(None),
    )
    return session.scalars(statement).one_or_none()


def keys(session: Session, *kinds: str, project: str | None = None) -> Sequence[RingKeyRow]:
    """Return the keys of these kinds, oldest first."""
    statement = select(RingKeyRow).where(RingKeyRow.kind.in_(kinds))
    if project is not None:
        statement = statement.where(RingKeyRow.project == project)
    return session.scalars(statement.order_by(RingKeyRow.created_at, RingKeyRow.id)).all()


def subjects_under(session: Session, key_id: str) -> Sequence[RingKeyRow]:
    """Return the keys of persons that are wrapped under this key."""
    return session.scalars(select(RingKeyRow).where(RingKeyRow.wrapped_by == key_id)).all()


def counts(session: Session) -> dict[str, int]:
    """Return {kind: number of keys}."""
    found = session.execute(select(RingKeyRow.kind, func.count()).group_by(RingKeyRow.kind))
    return {row[0]: row[1] for row in found}


def remove_of_project(session: Session, project: str) -> int:
    """Return how many keys are gone."""
    found = len(keys(session, "project", "subject", project=project))
    session.execute(delete(RingKeyRow).where(RingKeyRow.project == project, RingKeyRow.kind != "index"))
    return found


def remove_all(session: Session) -> None:
    session.execute(delete(RingKeyRow))
