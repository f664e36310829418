"""Queries of the tables in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.models.tables import (
    ModelRow,
    PolicyRow,
    SignatureRow,
    VersionFileRow,
    VersionRow,
)


def model_names(session: Session) -> list[str]:
    """Return the names of the models that have a version, sorted."""
    statement = select(VersionRow.model).where(VersionRow.removed_at.is_(None)).distinct().order_by(VersionRow.model)
    return list(session.scalars(statement))


def versions(session: Session, model: str | None = None) -> Sequence[VersionRow]:
    """Return the versions that aren't removed, of one model or of all, oldest first."""
    statement = select(VersionRow).where(VersionRow.removed_at.is_(None))
    if model is not None:
        statement = statement.where(VersionRow.model == model)
    return session.scalars(statement.order_by(VersionRow.model, VersionRow.number)).all()


def version(session: Session, model: str, number: int) -> VersionRow:
    """Return a version that exists, whether it is removed or not."""
    return session.scalars(select(VersionRow).where(VersionRow.model == model, VersionRow.number == number)).one()


def version_with_digest(session: Session, model: str, digest: str) -> VersionRow | None:
    """Return a version of a model by its digest, whether it is removed or not."""
    return session.scalars(
        select(VersionRow).where(VersionRow.model == model, VersionRow.digest == digest)
    ).one_or_none()


def versions_with_digest(session: Session, digest: str) -> Sequence[VersionRow]:
    """Return the versions of any model with this digest: first those that aren't removed, each group oldest first."""
    found = session.scalars(select(VersionRow).where(VersionRow.digest == digest).order_by(VersionRow.id))
    return sorted(found, key=lambda row: row.removed_at is not None)


def digests_of(session: Session, model: str) -> set[str]:
    """Return the digests of all versions that the model ever had."""
    return set(session.scalars(select(VersionRow.digest).where(VersionRow.model == model)))


def next_number(session: Session, model: str) -> int:
    """Return the number for a new version. Numbers of removed versions are not used again."""
    last = session.scalar(select(func.max(VersionRow.number)).where(VersionRow.model == model))
    return (last or 0) + 1


def ensure_model(session: Session, name: str, now: datetime) -> None:
    """Add the model's row where it is missing, and lock it until the transaction ends.

    The lock keeps two concurrent recordings from taking the same version number. SQLite locks the whole database.
    """
    if session.get(ModelRow, name, with_for_update=True) is None:
        session.add(ModelRow(name=name, created_at=now))
        session.flush()


def policies(session: Session, project: str) -> Sequence[PolicyRow]:
    """Return a project's policies, sorted by name."""
    return session.scalars(select(PolicyRow).where(PolicyRow.project == project).order_by(PolicyRow.name)).all()


def signatures(session: Session, version_digest: str) -> Sequence[SignatureRow]:
    """Return the signatures of a version, oldest first."""
    statement = select(SignatureRow).where(SignatureRow.version_digest == version_digest)
    return session.scalars(statement.order_by(SignatureRow.id)).all()


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version uses."""
    statement = select(VersionFileRow.digest).join(VersionRow).where(VersionRow.removed_at.is_(None))
    return set(session.scalars(statement))


def blob_users(session: Session, digests: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return {digest: the versions that use it} of these blobs."""
    statement = (
        select(VersionFileRow.digest, VersionRow.model, VersionRow.number)
        .join(VersionRow)
        .where(VersionRow.removed_at.is_(None), VersionFileRow.digest.in_(digests))
    )
    users: dict[str, list[str]] = {}
    for digest, model, number in session.execute(statement.distinct()):
        users.setdefault(digest, []).append(f"{model}@{number}")
    return users
