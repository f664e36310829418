"""Queries of credit. None commits: the public functions of the room do."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.billing.credit.tables import CreditLineRow
from llmos.billing.tables import ReservationRow


def lines(session: Session, project: str) -> Sequence[CreditLineRow]:
    """Return the lines of a project, newest first."""
    statement = select(CreditLineRow).where(CreditLineRow.project == project)
    return session.scalars(statement.order_by(CreditLineRow.number.desc())).all()


def line_with_key(session: Session, project: str, key: str) -> CreditLineRow | None:
    statement = select(CreditLineRow).where(CreditLineRow.project == project, CreditLineRow.key == key)
    return session.scalars(statement).one_or_none()


def last_lines(session: Session) -> Sequence[CreditLineRow]:
    """Return the newest line of each project and currency."""
    newest = select(func.max(CreditLineRow.number)).group_by(CreditLineRow.project, CreditLineRow.currency)
    statement = select(CreditLineRow).where(CreditLineRow.number.in_(newest))
    return session.scalars(statement.order_by(CreditLineRow.project, CreditLineRow.currency)).all()


def move_reservations(session: Session, old_limits: Sequence[str], new_limit: str) -> None:
    """Let what running calls hold of limits count against another one."""
    session.execute(update(ReservationRow).where(ReservationRow.limit_id.in_(old_limits)).values(limit_id=new_limit))
