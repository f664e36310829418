"""Plans and credit as limits, which calls are reserved against. See limits.py."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from llmos.billing.credit import queries as credit_queries
from llmos.billing.credit.credit import limit_id
from llmos.billing.limits import FOREVER, UNITS, Limit, Scope, period_end, period_start
from llmos.billing.plans.plan import ALL_TOKENS, PlanLimit
from llmos.billing.plans.spans import PlanSpan, PlanTable
from llmos.billing.rating import share_of_money, share_of_units


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
        for part in parts_of(span) if amounts[unit] else ():
            share = share_of_money if unit == "money" else share_of_units
            amount = share(amounts[unit], part.seconds, part.of_seconds) if part.of_seconds else amounts[unit]
            included = PlanLimit(unit=unit, amount=max(1, amount), is_hard=False)
            id = f"{place}:{unit}:{part.first}" if part.of_seconds else f"{place}:{unit}"
            limit = _limit(span, id, included, kind="allowance")
            yield replace(limit, first=part.first, end=part.end)


@dataclass(frozen=True, slots=True)
class SpanPart:
    """Whole months of a span, or a part of one at its beginning or end."""

    first: int
    end: int
    of_seconds: int = 0
    """For a part of a month: the length of the whole month, in seconds."""

    @property
    def seconds(self) -> int:
        return self.end - self.first


def parts_of(span: PlanSpan) -> Iterator[SpanPart]:
    """Yield the parts of a span: those of its first and last months have a part of what the plan includes.

    first ─┬ part of a month ┬── whole months ──┬ part of a month ┬─ end
    """
    first = span.first
    begin, after = _month_of(first)
    if first > begin:
        yield SpanPart(first, min(after, span.end), after - begin)
        first = after
    if first >= span.end:
        return
    if span.end == FOREVER:
        yield SpanPart(first, FOREVER)
        return
    begin, after = _month_of(span.end)
    if first < begin:
        yield SpanPart(first, begin)
    if begin < span.end:
        yield SpanPart(begin, span.end, after - begin)


def _month_of(at: int) -> tuple[int, int]:
    begin = period_start("month", at)
    after = period_end("month", begin)
    assert after is not None, "a month ends"
    return begin, after


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
