"""Queries of the table of receipts. None commits: the public functions of the room do."""

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from llmos.security.receipts.tables import ReceiptRow


def newest(session: Session, id: str, project: str | None) -> ReceiptRow | None:
    """Return the receipt of an answer or of a request; of several, the newest. `project`: only its; None: anybody's."""
    statement = select(ReceiptRow).where(or_(ReceiptRow.id == id, ReceiptRow.request_id == id))
    if project is not None:
        statement = statement.where(ReceiptRow.project == project)
    return session.scalars(statement.order_by(ReceiptRow.number.desc()).limit(1)).one_or_none()


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
