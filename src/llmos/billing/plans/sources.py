"""Plans and credit as limits, which calls are reserved against. See limits.py."""

from collections.abc import Iterable, Iterator

from sqlalchemy.orm import Session

from llmos.billing.credit import queries as credit_queries
from llmos.billing.credit.credit import limit_id
from llmos.billing.limits import UNITS, Limit, Scope
from llmos.billing.plans.plan import ALL_TOKENS, PlanLimit
from llmos.billing.plans.spans import PlanSpan, PlanTable


class PlanSource:
    """Reads the limits of plans, and what they include."""

    def read(self, session: Session) -> Iterable[Limit]:
        return [limit for span in PlanTable.read(session).all() for limit in limits_of(span)]


class CreditSource:
    """Reads the credit of projects while their plans are prepaid. A project without any has a limit of 0."""

    def read(self, session: Session) -> Iterable[Limit]:
        lines = {(row.project, row.currency): row for row in credit_queries.last_lines(session)}
        for span in PlanTable.read(session).all():
            if span.plan.kind == "prepaid":
                line = lines.get((span.project, span.plan.currency))
                yield Limit(
                    id=limit_id(0 if line is None else line.number, span.assignment),
                    kind="credit",
                    name=span.project,
                    scope=Scope(kind="project", project=span.project),
                    unit="money",
                    currency=span.plan.currency,
                    amount=0 if line is None else line.balance_nanos,
                    period="total",
                    alert_percents=tuple(span.plan.alerts),
                    first=span.first,
                    end=span.end,
                )


def limits_of(span: PlanSpan) -> Iterator[Limit]:
    """Yield the limits of a plan for a project, first its own ones, then what it includes, which stops nothing."""
    plan, place = span.plan, f"plan:{span.assignment}:{span.plan.version}"
    for index, each in enumerate(plan.limits):
        yield _limit(span, f"{place}:{index}", each, kind="plan")
    amounts = {
        "money": plan.included_spend,
        "requests": plan.included.get("num_calls", 0),
        "tokens": plan.included.get(ALL_TOKENS, 0),
    }
    for unit in UNITS:
        if amounts[unit]:
            included = PlanLimit(unit=unit, amount=amounts[unit], is_hard=False)
            yield _limit(span, f"{place}:{unit}", included, kind="allowance")


def _limit(span: PlanSpan, id: str, each: PlanLimit, *, kind: str) -> Limit:
    return Limit(
        id=id,
        kind=kind,
        name=span.plan.name,
        scope=Scope(kind="project", project=span.project),
        unit=each.unit,
        currency=span.plan.currency if each.unit == "money" else "",
        amount=each.amount,
        period=each.per,
        is_hard=each.is_hard,
        first=span.first,
        end=span.end,
        alert_percents=tuple(span.plan.alerts),
    )
