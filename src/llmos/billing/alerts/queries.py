"""Queries of alerts. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, tuple_, update
from sqlalchemy.orm import Session

from llmos.billing.alerts.tables import AlertRow
from llmos.billing.limit_queries import CountKey, users_by_number
from llmos.billing.queries import insert_of
from llmos.core.money import format_nanos
from llmos.core.schemas.alerts import AlertDescription

_MAX_SHOWN = 20


def add_alert(session: Session, row: Mapping[str, Any]) -> None:
    """Add an alert, unless there is one of this share of the limit in this period."""
    session.execute(insert_of(session, AlertRow).on_conflict_do_nothing(), [row])


def waiting_alerts(session: Session, limit: int = 100) -> Sequence[AlertRow]:
    """Return the alerts that no webhook was told yet, oldest first."""
    statement = select(AlertRow).where(AlertRow.told_at.is_(None)).order_by(AlertRow.number).limit(limit)
    return session.scalars(statement).all()


def mark_told(session: Session, number: int, now: datetime) -> bool:
    """Return False if another server has done so."""
    waiting = select(AlertRow.number).where(AlertRow.number == number, AlertRow.told_at.is_(None)).with_for_update()
    if session.scalar(waiting) is None:
        return False
    session.execute(update(AlertRow).where(AlertRow.number == number).values(told_at=now))
    return True


def alerts_of(session: Session, keys: Collection[CountKey]) -> Sequence[AlertDescription]:
    """Return the alerts of limits in their periods, of all subjects, newest first."""
    place = tuple_(AlertRow.limit_id, AlertRow.period_start)
    wanted = sorted((key.limit_id, key.period_start) for key in keys)
    statement = select(AlertRow).where(place.in_(wanted)).order_by(AlertRow.number.desc()).limit(_MAX_SHOWN)
    rows = session.scalars(statement).all()
    users = users_of(session, rows)
    return [described(row, users) for row in rows]


def users_of(session: Session, rows: Sequence[AlertRow]) -> Mapping[int, str]:
    """Return the names of the users that alerts are about."""
    numbers = [row.user_number for row in rows if row.user_number is not None]
    return {number: name or f"erased-{number}" for number, (_, name) in users_by_number(session, numbers).items()}


def described(row: AlertRow, users: Mapping[int, str]) -> AlertDescription:
    def shown(number: int) -> str:
        return format_nanos(number) if row.unit == "money" else str(number)

    return AlertDescription(
        id=row.id,
        at=row.created_at,
        kind=row.kind,
        name=row.name,
        project=row.project,
        user="" if row.user_number is None else users.get(row.user_number, ""),
        percent=row.percent,
        is_hard=row.is_hard,
        unit=row.unit,
        currency=row.currency,
        limit=shown(row.amount),
        spent=shown(row.spent),
        per=row.per,
        period_start=datetime.fromtimestamp(row.period_start, UTC) if row.period_start else None,
    )
