"""Queries of tables of aliases and labels. None commits."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.versioning.columns import AliasMoveColumns, LabelChangeColumns
from llmos.core.versioning.noun import Noun


def lock_name(session: Session, noun: Noun, key: str) -> None:
    """Lock a name's row until the transaction ends. Does nothing where there is no such name."""
    session.get(noun.names, key, with_for_update=True)


def aliases(session: Session, noun: Noun, key: str) -> dict[str, int]:
    """Return {alias: version number} of a name's aliases."""
    last = {move.alias: move.number for move in alias_moves(session, noun, key)}
    return {alias: number for alias, number in sorted(last.items()) if number is not None}


def alias_moves(session: Session, noun: Noun, key: str, alias: str | None = None) -> Sequence[AliasMoveColumns]:
    """Return all moves of a name's aliases, or of one alias, oldest first."""
    moves = noun.alias_moves
    statement = select(moves).where(moves.owner == key)
    if alias is not None:
        statement = statement.where(moves.alias == alias)
    return session.scalars(statement.order_by(moves.id)).all()


def labels(
    session: Session, noun: Noun, subject: tuple[str, int] | None = None, keys: Collection[str] | None = None
) -> Sequence[LabelChangeColumns]:
    """Return the last change of each tag and description: of one subject, of the names with these keys, or of all."""
    changes = noun.label_changes
    last = select(func.max(changes.id)).group_by(changes.owner, changes.number, changes.key)
    if subject is not None:
        last = last.where(changes.owner == subject[0], changes.number == subject[1])
    if keys is not None:
        last = last.where(changes.owner.in_(keys))
    return session.scalars(select(changes).where(changes.id.in_(last)).order_by(changes.id)).all()


def label_changes(session: Session, noun: Noun, key: str, number: int | None = None) -> Sequence[LabelChangeColumns]:
    """Return all label changes of one version, or of a name and all its versions, oldest first."""
    changes = noun.label_changes
    statement = select(changes).where(changes.owner == key)
    if number is not None:
        statement = statement.where(changes.number == number)
    return session.scalars(statement.order_by(changes.id)).all()
