"""AlertListener: stores each share of a limit that is used up, in the transaction that counts the call."""

from sqlalchemy.orm import Session

from llmos.billing.alerts.queries import add_alert
from llmos.billing.limits import Limit, ThresholdCrossed
from llmos.core.clock import Clock, utc_now
from llmos.core.ids import new_id


class AlertListener:
    """Any thread may use it."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock

    def __call__(self, session: Session, event: ThresholdCrossed) -> None:
        limit = event.limit
        row = {
            "id": new_id("alert"),
            "limit_id": limit.id,
            "subject": event.subject,
            "period_start": event.period_start,
            "percent": event.percent,
            "kind": limit.kind,
            "name": limit.name,
            "project": event.payer.project,
            "user_number": _user_number(limit, event.subject),
            "is_for_all": limit.scope.kind == "installation",
            "unit": limit.unit,
            "currency": limit.currency,
            "amount": limit.amount,
            "spent": event.spent,
            "per": limit.period,
            "is_hard": limit.is_hard,
            "created_at": self._clock(),
            "told_at": None,
        }
        add_alert(session, row)


def _user_number(limit: Limit, subject: str) -> int | None:
    if limit.scope.kind == "each_user":
        return int(subject) if subject.isdecimal() else None
    return limit.scope.user_number
