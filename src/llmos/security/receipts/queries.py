"""Queries of the table of receipts. None commits: the public functions of the room do."""

from collections.abc import Collection, Sequence
from typing import cast

from sqlalchemy import Table, delete, func, or_, select
from sqlalchemy.orm import Session

from llmos.core.statements import PlainTransaction, Statement, Values, insert_into
from llmos.security.receipts.tables import ReceiptRow

_ADD = Statement(lambda dialect: insert_into(dialect, cast(Table, ReceiptRow.__table__)))


def add(transaction: PlainTransaction, rows: Sequence[Values]) -> None:
    transaction.run(_ADD, rows)


def newest(session: Session, id: str, project: str | None) -> ReceiptRow | None:
    """Return the receipt of an answer or of a request; of several, the newest. `project`: only its; None: anybody's."""
    statement = select(ReceiptRow).where(or_(ReceiptRow.id == id, ReceiptRow.request_id == id))
    if project is not None:
        statement = statement.where(ReceiptRow.project == project)
    return session.scalars(statement.order_by(ReceiptRow.number.desc()).limit(1)).one_or_none()


def oldest(session: Session) -> ReceiptRow | None:
    return session.scalars(select(ReceiptRow).order_by(ReceiptRow.number).limit(1)).one_or_none()


def ids_between(session: Session, start: int, end: int, last: int, limit: int) -> Sequence[tuple[int, str]]:
    """Return (number, id) of the receipts of a time, behind the number `last`."""
    statement = select(ReceiptRow.number, ReceiptRow.id).where(ReceiptRow.at >= start, ReceiptRow.at < end)
    statement = statement.where(ReceiptRow.number > last).order_by(ReceiptRow.number).limit(limit)
    return [(number, id) for number, id in session.execute(statement)]


def of_answers(session: Session, ids: Collection[str]) -> Sequence[tuple[str, str]]:
    """Return (id, document) of the receipts of answers. At most as many answers as one statement takes."""
    statement = select(ReceiptRow.id, ReceiptRow.document).where(ReceiptRow.id.in_(ids)).order_by(ReceiptRow.number)
    return [(id, document) for id, document in session.execute(statement)]


def oldest_kept(session: Session, before: int, max_kept: int) -> int:
    """Return the number below which receipts are removed: those before a time, and those beyond a limit of rows."""
    last: int = session.scalar(select(func.max(ReceiptRow.number))) or 0
    in_time: int | None = session.scalar(select(func.min(ReceiptRow.number)).where(ReceiptRow.at >= before))
    return max(last - max_kept + 1, last + 1 if in_time is None else in_time)


def remove_some(session: Session, below: int, limit: int) -> int:
    """Remove the oldest receipts with lower numbers, at most `limit`, and return how many."""
    first: int | None = session.scalar(select(func.min(ReceiptRow.number)))
    if first is None or first >= below:
        return 0
    end = min(below, first + limit)
    session.execute(delete(ReceiptRow).where(ReceiptRow.number < end))
    return end - first
