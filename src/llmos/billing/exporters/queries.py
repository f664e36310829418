"""Queries of exporters and of the entries that they send. None commits."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from llmos.billing.exporters.tables import ExporterRow, RefusedRow
from llmos.billing.tables import LedgerRow

MAX_COUNTED = 100_000
"""So many pending entries are counted at most."""

_AT_ONCE = 500


def exporters(session: Session) -> Sequence[ExporterRow]:
    return session.scalars(select(ExporterRow).order_by(ExporterRow.name)).all()


def exporter(session: Session, name: str) -> ExporterRow | None:
    return session.scalars(select(ExporterRow).where(ExporterRow.name == name)).one_or_none()


def exporter_with_id(session: Session, id: str, *, lock: bool = False) -> ExporterRow | None:
    statement = select(ExporterRow).where(ExporterRow.id == id)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def last_number(session: Session) -> int:
    """Return the number of the newest entry; 0 without one."""
    return session.scalar(select(func.max(LedgerRow.number))) or 0


def last_number_before(session: Session, at: int) -> int:
    """Return the number after which the entries of a time begin."""
    first = session.scalar(select(func.min(LedgerRow.number)).where(LedgerRow.at >= at))
    return last_number(session) if first is None else first - 1


def due(session: Session, now: datetime) -> Sequence[str]:
    """Return the ids of exporters that have something to send, and that no server sends for."""
    waiting = exists().where(RefusedRow.exporter_id == ExporterRow.id, RefusedRow.is_waiting)
    behind = ExporterRow.sent_through < select(func.max(LedgerRow.number)).scalar_subquery()
    statement = select(ExporterRow.id).where(_is_free(now), or_(behind, waiting))
    return session.scalars(statement.order_by(ExporterRow.name)).all()


def free_exporter(session: Session, id: str, now: datetime) -> ExporterRow | None:
    """Return an exporter that no server sends for, locked; None if another one does, or it is paused."""
    statement = select(ExporterRow).where(ExporterRow.id == id, _is_free(now))
    return session.scalars(statement.with_for_update(skip_locked=True)).one_or_none()


def _is_free(now: datetime) -> ColumnElement[bool]:
    return (
        ExporterRow.is_paused.is_(False)
        & (ExporterRow.next_attempt_at <= now)
        & or_(ExporterRow.leased_until.is_(None), ExporterRow.leased_until <= now)
    )


def entries_behind(session: Session, number: int, limit: int) -> Sequence[LedgerRow]:
    """Return entries and reversals in the order of their numbers."""
    statement = select(LedgerRow).where(LedgerRow.number > number).order_by(LedgerRow.number).limit(limit)
    return session.scalars(statement).all()


def waiting_entries(session: Session, exporter_id: str, limit: int) -> Sequence[LedgerRow]:
    """Return refused entries that are sent again."""
    of_entry = LedgerRow.number == RefusedRow.number
    statement = select(LedgerRow).join(RefusedRow, of_entry).where(RefusedRow.exporter_id == exporter_id)
    return session.scalars(statement.where(RefusedRow.is_waiting).order_by(LedgerRow.number).limit(limit)).all()


def num_behind(session: Session, number: int) -> int:
    """Return how many entries come after a number, up to MAX_COUNTED."""
    some = select(LedgerRow.number).where(LedgerRow.number > number).limit(MAX_COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def first_at_behind(session: Session, number: int) -> int | None:
    """Return the time of the first entry after a number."""
    statement = select(LedgerRow.at).where(LedgerRow.number > number).order_by(LedgerRow.number).limit(1)
    return session.scalar(statement)


def num_refused(session: Session) -> dict[str, int]:
    """Return {id of an exporter: how many entries its receiver refused}."""
    statement = select(RefusedRow.exporter_id, func.count()).group_by(RefusedRow.exporter_id)
    return {row[0]: row[1] for row in session.execute(statement)}


def refused(session: Session, exporter_id: str, limit: int) -> Sequence[tuple[RefusedRow, LedgerRow]]:
    of_entry = LedgerRow.number == RefusedRow.number
    statement = select(RefusedRow, LedgerRow).join(LedgerRow, of_entry).where(RefusedRow.exporter_id == exporter_id)
    return [(row[0], row[1]) for row in session.execute(statement.order_by(RefusedRow.number).limit(limit))]


def refused_rows(session: Session, exporter_id: str, numbers: Collection[int]) -> dict[int, RefusedRow]:
    statement = select(RefusedRow).where(RefusedRow.exporter_id == exporter_id, RefusedRow.number.in_(numbers))
    return {row.number: row for row in session.scalars(statement)}


def remove_refused(session: Session, exporter_id: str, numbers: Sequence[int]) -> None:
    for first in range(0, len(numbers), _AT_ONCE):
        part = numbers[first : first + _AT_ONCE]
        session.execute(delete(RefusedRow).where(RefusedRow.exporter_id == exporter_id, RefusedRow.number.in_(part)))


def mark_waiting(session: Session, exporter_id: str) -> int:
    """Let all refused entries of an exporter be sent again. Return how many."""
    statement = update(RefusedRow).where(RefusedRow.exporter_id == exporter_id).values(is_waiting=True)
    return len(session.execute(statement.returning(RefusedRow.number)).all())


def discard_keys(session: Session) -> None:
    """Remove the keys of all exporters, which can't be read any more, and pause those that had one."""
    statement = update(ExporterRow).where(ExporterRow.sealed_key.is_not(None))
    error = "Its key is lost. Remove the exporter, and add it again with its key and `--from`."
    session.execute(statement.values(sealed_key=None, is_paused=True, error=error))


def remove(session: Session, row: ExporterRow) -> None:
    session.execute(delete(RefusedRow).where(RefusedRow.exporter_id == row.id))
    session.delete(row)
