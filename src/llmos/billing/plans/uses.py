"""The part of its plan that a project has used in this period."""

from sqlalchemy.orm import Session

from llmos.billing import limit_queries
from llmos.billing.alerts.queries import alerts_of
from llmos.billing.limit_queries import CountKey
from llmos.billing.limits import Limit, period_start
from llmos.billing.plans.sources import limits_of
from llmos.billing.plans.spans import PlanSpan
from llmos.core.money import format_nanos
from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.plans import PlanLimitUse


def describe_use(session: Session, span: PlanSpan, now: int) -> tuple[list[PlanLimitUse], list[AlertDescription]]:
    """Return what is used of each limit, and the alerts of this period. Before the span begins, those of its first."""
    moment = min(max(now, span.first), span.end - 1)
    limits = [each for each in limits_of(span) if each.first <= moment < each.end]
    keys = {limit.id: CountKey(limit.id, "", period_start(limit.period, now)) for limit in limits}
    if not limits:
        return [], []
    counts = limit_queries.counts(session, list(keys.values()))
    uses = []
    for limit in limits:
        key = keys[limit.id]
        count = counts.get(key)
        spent = limit_queries.used_before(session, limit, "", key.period_start) if count is None else count.spent
        uses.append(_use(limit, spent))
    return uses, list(alerts_of(session, list(keys.values())))


def _use(limit: Limit, spent: int) -> PlanLimitUse:
    def shown(number: int) -> str:
        return format_nanos(number) if limit.unit == "money" else str(number)

    return PlanLimitUse(
        kind="limit" if limit.kind == "plan" else limit.kind,
        unit=limit.unit,
        limit=shown(limit.amount),
        per=limit.period,
        is_hard=limit.is_hard,
        spent=shown(spent),
        left=shown(max(0, limit.amount - spent)),
    )
