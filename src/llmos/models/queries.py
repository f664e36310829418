"""What the registry asks of its tables. Never commits: the registry's public functions do."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.models.tables import (
    AliasMoveRow,
    LabelChangeRow,
    ModelRow,
    PolicyRow,
    SignatureRow,
    VersionFileRow,
    VersionRow,
)


def model_names(session: Session) -> list[str]:
    """The models that have a version."""
    statement = select(VersionRow.model).where(VersionRow.removed_at.is_(None)).distinct().order_by(VersionRow.model)
    return list(session.scalars(statement))


def versions(session: Session, model: str | None = None) -> Sequence[VersionRow]:
    """The versions there are, of one model or of all, oldest first."""
    statement = select(VersionRow).where(VersionRow.removed_at.is_(None))
    if model is not None:
        statement = statement.where(VersionRow.model == model)
    return session.scalars(statement.order_by(VersionRow.model, VersionRow.number)).all()


def version(session: Session, model: str, number: int) -> VersionRow:
    """A version, removed ones included."""
    return session.scalars(select(VersionRow).where(VersionRow.model == model, VersionRow.number == number)).one()


def version_with_digest(session: Session, model: str, digest: str) -> VersionRow | None:
    """A version, removed ones included."""
    return session.scalars(
        select(VersionRow).where(VersionRow.model == model, VersionRow.digest == digest)
    ).one_or_none()


def versions_with_digest(session: Session, digest: str) -> Sequence[VersionRow]:
    """The versions of any model that have the digest, those that are here before the removed ones, oldest first."""
    found = session.scalars(select(VersionRow).where(VersionRow.digest == digest).order_by(VersionRow.id))
    return sorted(found, key=lambda row: row.removed_at is not None)


def digests_of(session: Session, model: str) -> set[str]:
    """The digests of all versions that the model ever had."""
    return set(session.scalars(select(VersionRow.digest).where(VersionRow.model == model)))


def next_number(session: Session, model: str) -> int:
    """The number after all that were ever given."""
    last = session.scalar(select(func.max(VersionRow.number)).where(VersionRow.model == model))
    return (last or 0) + 1


def ensure_model(session: Session, name: str, now: datetime) -> None:
    # Locked, where the database locks rows: of two that record a version at once, the second counts from the first's.
    if session.get(ModelRow, name, with_for_update=True) is None:
        session.add(ModelRow(name=name, created_at=now))
        session.flush()


def aliases(session: Session, model: str) -> dict[str, int]:
    """Where each alias of a model points: {alias: number}."""
    moves = session.scalars(select(AliasMoveRow).where(AliasMoveRow.model == model).order_by(AliasMoveRow.id))
    last = {move.alias: move.number for move in moves}
    return {alias: number for alias, number in sorted(last.items()) if number is not None}


def alias_moves(session: Session, model: str, alias: str | None = None) -> Sequence[AliasMoveRow]:
    """All moves of a model's aliases, or of one of them, oldest first."""
    statement = select(AliasMoveRow).where(AliasMoveRow.model == model)
    if alias is not None:
        statement = statement.where(AliasMoveRow.alias == alias)
    return session.scalars(statement.order_by(AliasMoveRow.id)).all()


def lock_model(session: Session, name: str) -> None:
    """Let nobody else change what belongs to the model before this transaction ends; nothing where there is none."""
    session.get(ModelRow, name, with_for_update=True)


def labels(session: Session, subject: tuple[str, int] | None = None) -> Sequence[LabelChangeRow]:
    """The last change of each tag and description, of one subject or of all."""
    last = select(func.max(LabelChangeRow.id)).group_by(LabelChangeRow.model, LabelChangeRow.number, LabelChangeRow.key)
    if subject is not None:
        last = last.where(LabelChangeRow.model == subject[0], LabelChangeRow.number == subject[1])
    statement = select(LabelChangeRow).where(LabelChangeRow.id.in_(last))
    return session.scalars(statement.order_by(LabelChangeRow.id)).all()


def label_changes(session: Session, model: str, number: int | None = None) -> Sequence[LabelChangeRow]:
    """All changes of the labels of a version, or of a model and its versions, oldest first."""
    statement = select(LabelChangeRow).where(LabelChangeRow.model == model)
    if number is not None:
        statement = statement.where(LabelChangeRow.number == number)
    return session.scalars(statement.order_by(LabelChangeRow.id)).all()


def policies(session: Session, project: str) -> Sequence[PolicyRow]:
    return session.scalars(select(PolicyRow).where(PolicyRow.project == project).order_by(PolicyRow.name)).all()


def signatures(session: Session, version_digest: str) -> Sequence[SignatureRow]:
    """The signatures of a version, oldest first."""
    statement = select(SignatureRow).where(SignatureRow.version_digest == version_digest)
    return session.scalars(statement.order_by(SignatureRow.id)).all()


def digests_in_use(session: Session) -> set[str]:
    """The blobs that some version needs."""
    statement = select(VersionFileRow.digest).join(VersionRow).where(VersionRow.removed_at.is_(None))
    return set(session.scalars(statement))
