"""Months: what a project used in a month, as the terms that rating.py rates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from operator import add

from sqlalchemy.orm import Session

from llmos.billing import queries
from llmos.billing.entries import MEASURES
from llmos.billing.plans.spans import PlanTable
from llmos.billing.prices import PriceBook
from llmos.billing.rating import PricedUsage, Term


def month_bounds(moment: datetime) -> tuple[int, int]:
    """Return the first second of a moment's month, and of the next one, in UTC."""
    first = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()), int(after.timestamp())


def read_terms(
    session: Session,
    books: Mapping[int, PriceBook],
    project: str,
    month: tuple[int, int],
    *,
    through: int | None = None,
) -> Sequence[Term]:
    """Return a project's terms of a month. `through`: the last entry that counts, by its number in the ledger.

    A reversal counts to the month of what it takes back. So what a later entry changes in a month that has an invoice
    is the difference of two ratings: through the last entry now, and through the one that the invoice had.
    """
    spans = PlanTable.read(session).spans(project)
    times = {time for span in spans for time in (span.first, span.end) if month[0] < time < month[1]}
    return [
        Term(
            first=first,
            end=end,
            plan=next((each.plan for each in spans if each.first <= first < each.end), None),
            usage=_usage(session, books, project, (first, end), through),
        )
        for first, end in pairwise([month[0], *sorted(times), month[1]])
    ]


def _usage(
    session: Session,
    books: Mapping[int, PriceBook],
    project: str,
    span: tuple[int, int],
    through: int | None,
) -> Sequence[PricedUsage]:
    sums: defaultdict[tuple[int, str, str, str], list[int]] = defaultdict(lambda: [0] * len(MEASURES))
    for version, route, model, numbers in queries.priced_usage(session, project, *span, through):
        target = books[version].target(route=route, version=model)
        assert target is not None, "an entry with a price version has prices"
        total = sums[version, target, model, route]
        total[:] = map(add, total, numbers)
    return [
        PricedUsage(
            price_version=version,
            target=target,
            version=model,
            route=route,
            quantities=dict(zip(MEASURES, numbers, strict=True)),
        )
        for (version, target, model, route), numbers in sorted(sums.items())
    ]
