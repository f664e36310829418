"""Lines of an invoice, derived from the entries of the ledger and from nothing else.

    new months     rated as they are                                        rate(month)
    late entries   what they change in a month that has an invoice          rate(month) - rate(month without them)

So the invoices of a month add up to what the month costs, to the cent, in whatever order its entries arrive.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy.orm import Session

from llmos.billing import months, rating
from llmos.billing.invoices import queries
from llmos.billing.invoices.amounts import format_amount, format_exact, nanos_per_minor
from llmos.billing.invoices.month import Month
from llmos.billing.invoices.ranges import late_part, new_part
from llmos.billing.prices import MILLION, TOKENS, UNITS, PriceBook
from llmos.core.money import format_decimal, format_nanos
from llmos.core.schemas.invoices import EntryRange, InvoiceLine

_UNIT_OF = {measure: unit for unit, measure in UNITS.items()}
"""{what an entry counts: what prices call it}"""

_LABELS = {
    "calls": "calls",
    "seconds": "time of replicas",
    "input": "input tokens",
    "cached_input": "cached input tokens",
    "output": "output tokens",
    "embedding": "embedding tokens",
    "rated": "rated tokens",
}
_KINDS = ("free", "included", "usage", "fee", "allowance", "prepaid")
_EXACT_PER_NANO = MILLION


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The project that an invoice is for."""

    project: str
    currency: str
    month: Month


def derive_lines(
    session: Session, subject: Subject, entries: EntryRange, books: Mapping[int, PriceBook]
) -> list[InvoiceLine]:
    """Return the lines of an invoice about these entries."""
    lines = [
        line
        for month, before in _months(session, subject, entries)
        for line in _month_lines(session, subject, month, books, through=entries.last, before=before)
    ]
    lines.sort(key=_order)
    return [replace(line, number=number) for number, line in enumerate(lines, 1)]


def count_entries(session: Session, subject: Subject, entries: EntryRange) -> int:
    parts = [new_part(subject.month, entries), late_part(entries)]
    counted = [
        queries.num_entries(session, subject.project, subject.currency, part) for part in parts if part is not None
    ]
    return sum(counted)


def _order(line: InvoiceLine) -> tuple[object, ...]:
    """Model by model, in each the kinds of units, and what a plan costs at the end."""
    measure = list(UNITS).index(line.measure) if line.measure else len(UNITS)
    place = (line.version, line.route, line.price_version or 0, measure, _KINDS.index(line.kind), line.above)
    return line.month, not line.measure, line.start, *place


def _months(session: Session, subject: Subject, entries: EntryRange) -> Sequence[tuple[Month, int | None]]:
    """Return the months of an invoice, each with the last entry that an earlier invoice had of it; None: it had none.

    Those between the invoice before and this one are all there: a plan has a fee without any usage.
    """
    late, new = late_part(entries), new_part(subject.month, entries)
    if late is None:
        first = queries.first_month(session, subject.project, subject.currency, new) or subject.month
        return [(month, None) for month in first.through(subject.month)]
    changed = queries.months_of(session, subject.project, subject.currency, late)
    first = Month.parse(entries.previous_month).next
    return [
        *((month, entries.previous_last) for month in changed),
        *((month, None) for month in first.through(subject.month)),
    ]


def _month_lines(
    session: Session,
    subject: Subject,
    month: Month,
    books: Mapping[int, PriceBook],
    *,
    through: int,
    before: int | None,
) -> Iterable[InvoiceLine]:
    lines = _rate(session, subject, month, books, through)
    if before is None:
        return [_described(month, key, line.quantity, line.amount_nanos) for key, line in lines.items()]
    old = _rate(session, subject, month, books, before)
    differences = []
    for key in [*lines, *(key for key in old if key not in lines)]:
        new_line, old_line = lines.get(key), old.get(key)
        quantity = (new_line.quantity if new_line else 0) - (old_line.quantity if old_line else 0)
        amount = (new_line.amount_nanos if new_line else 0) - (old_line.amount_nanos if old_line else 0)
        if quantity or amount:
            differences.append(_described(month, key, quantity, amount))
    return differences


@dataclass(frozen=True, slots=True)
class _Key:
    """The key that tells the lines of a month apart."""

    kind: str
    currency: str
    first: int
    end: int
    plan: str
    plan_version: int | None
    price_version: int | None
    target: str
    version: str
    route: str
    measure: str
    unit_price_nanos: int
    above: int


_KEY_FIELDS: Sequence[str] = tuple(_Key.__dataclass_fields__)


def _rate(
    session: Session, subject: Subject, month: Month, books: Mapping[int, PriceBook], through: int
) -> Mapping[_Key, rating.Line]:
    span = (month.start, month.end)
    terms = months.read_terms(session, books, subject.project, span, through=through)
    lines = rating.rate(terms, books, round_to=nanos_per_minor(subject.currency))
    merged: defaultdict[_Key, list[rating.Line]] = defaultdict(list)
    for line in lines:
        if line.currency == subject.currency:
            merged[_Key(*(getattr(line, name) for name in _KEY_FIELDS))].append(line)
    return {key: _sum(each) for key, each in merged.items()}


def _sum(lines: Sequence[rating.Line]) -> rating.Line:
    """Return one line for several with the same key, such as what is free for one target and for all."""
    if len(lines) == 1:
        return lines[0]
    values: dict[str, Any] = {name: getattr(lines[0], name) for name in _KEY_FIELDS}
    quantity, amount = sum(each.quantity for each in lines), sum(each.amount_nanos for each in lines)
    return rating.Line(**values, quantity=quantity, amount_nanos=amount)


def _described(month: Month, key: _Key, quantity: int, amount_nanos: int) -> InvoiceLine:
    unit = _UNIT_OF.get(key.measure, "")
    exact = _exact(key, quantity) if key.kind == "usage" else amount_nanos * _EXACT_PER_NANO
    is_time = unit == "seconds"
    return InvoiceLine(
        month=str(month),
        kind=key.kind,
        description=_description(month, key, unit),
        version=key.version,
        route=key.route,
        priced_by=key.target,
        price_version=key.price_version,
        plan=key.plan,
        plan_version=key.plan_version,
        start=datetime.fromtimestamp(key.first, UTC),
        end=datetime.fromtimestamp(key.end, UTC),
        measure=unit,
        above=key.above // MILLION if is_time else key.above,
        quantity=(format_decimal(quantity, 6) if is_time else str(quantity)) if unit else "",
        unit="tokens" if unit in TOKENS else unit,
        unit_price=format_nanos(key.unit_price_nanos) if unit else "",
        per=MILLION if unit in TOKENS else 1,
        exact=format_exact(exact),
        amount=format_amount(amount_nanos // nanos_per_minor(key.currency), key.currency),
    )


def _exact(key: _Key, quantity: int) -> int:
    """Return the quantity by the price, in units of 10**-15."""
    return quantity * key.unit_price_nanos * (MILLION if key.measure == "num_calls" else 1)


def _description(month: Month, key: _Key, unit: str) -> str:
    is_part = (key.first, key.end) != (month.start, month.end)
    days = f" ({_day(key.first)} to {_day(key.end - 1)})" if is_part else ""
    if key.kind == "fee":
        return f"Plan {key.plan}{days}"
    if key.kind == "prepaid":
        return f"Paid from credit{days}"
    if key.kind == "allowance":
        return f"Included in the plan {key.plan}{days}"
    through = f" through {key.route}" if key.route else ""
    suffix = {"free": ", free", "included": f", included in the plan {key.plan}"}.get(key.kind, "")
    tier = f" above {key.above // MILLION if unit == 'seconds' else key.above:,}" if key.above else ""
    return f"{key.version or key.target}{through}, {_LABELS[unit]}{tier}{suffix}{days}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
