"""Usage: the sums of the ledger's entries, by a dimension or by day.

A time is read as whole days and the hours at its ends:

    start ─┬─ hours ─┬──── days ────┬─ hours ─┬─ end        each a range of usage_sums
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import add
from typing import Any

from llmos.billing import queries
from llmos.billing.entries import MEASURES
from llmos.billing.purchases.queries import SUMS
from llmos.billing.queries import summed
from llmos.billing.sums import DAY, DIMENSIONS, HOUR
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.money import format_nanos
from llmos.core.schemas.usage import UsageDescription, UsageReport
from llmos.core.suggest import nearest

BY = (*DIMENSIONS, "day")

DEFAULT_DAYS = 30

_YEARS = range(2000, 9000)


@dataclass(frozen=True, slots=True)
class Span:
    """Sums of one length, from `start` up to before `end`."""

    period: int
    start: int
    end: int


class Usage:
    """Any thread may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def report(
        self, by: str, start: datetime | None = None, end: datetime | None = None, *, project: str | None = None
    ) -> UsageReport:
        """Return what was consumed, by one of BY. `project`: only by this one, without what providers ask for it.

        The time is widened to whole hours; by default it is the last thirty days. Raises BadRequest.
        """
        _check(by)
        first, last = read_times(start, end, self._clock())
        found = self._sums(by, first, last, project)
        rows = [UsageDescription(value=value, **_measures(sums)) for value, sums in found.items()]
        rows.sort(key=lambda row: row.value if by == "day" else (-row.num_calls, row.value))
        return UsageReport(by=by, start=_moment(first), end=_moment(last), data=rows)

    def _sums(self, by: str, first: int, last: int, project: str | None) -> Mapping[str, "_Sum"]:
        sums: defaultdict[str, _Sum] = defaultdict(_Sum)
        with self._database.session() as session:
            for value, currency, numbers in queries.usage(session, by, spans(first, last), project):
                sums[value].add(currency, numbers)
            if project is None:
                for value, currency, numbers in summed(session, SUMS, by, spans(first, last), None):
                    sums[value].add_bought(currency, numbers)
            if by != "user":
                return sums
            names = queries.user_names(session, [int(value) for value in sums if value])
        return _by_name(sums, names)


class _Sum:
    """The sums for one value."""

    def __init__(self) -> None:
        self.numbers: Sequence[int] = ()
        """In the order of MEASURES; empty before there are any."""
        self.costs: dict[str, int] = {}
        self.bought: dict[str, int] = {}
        """The cost at providers, by currency, in billionths."""

    def add(self, currency: str, numbers: Sequence[int]) -> None:
        """`numbers`: in the order of MEASURES, and the cost."""
        self._add_numbers(numbers[:-1])
        if currency:
            self.costs[currency] = self.costs.get(currency, 0) + numbers[-1]

    def add_bought(self, currency: str, numbers: Sequence[int]) -> None:
        """`numbers`: the last one is the cost."""
        if currency:
            self.bought[currency] = self.bought.get(currency, 0) + numbers[-1]

    def merge(self, other: "_Sum") -> None:
        self._add_numbers(other.numbers)
        for own, others in ((self.costs, other.costs), (self.bought, other.bought)):
            for currency, cost in others.items():
                own[currency] = own.get(currency, 0) + cost

    def _add_numbers(self, numbers: Sequence[int]) -> None:
        self.numbers = [*map(add, self.numbers, numbers)] if self.numbers else numbers

    def margins(self) -> dict[str, int]:
        """Return what is left of the costs, by currency. Empty where no provider asks for anything."""
        if not self.bought:
            return {}
        return {each: self.costs.get(each, 0) - self.bought.get(each, 0) for each in {*self.costs, *self.bought}}


def read_times(start: datetime | None, end: datetime | None, now: datetime) -> tuple[int, int]:
    """Return a time widened to whole hours, in seconds since 1970; by default the last thirty days.

    Raises BadRequest.
    """
    end = now if end is None else end
    start = end - timedelta(days=DEFAULT_DAYS) if start is None else start
    for name, moment in (("from", start), ("to", end)):
        if moment.year not in _YEARS:
            raise BadRequest(f"`{name}` is in the year {moment.year}. Give a time since {_YEARS[0]}.", param=name)
    first, last = int(start.timestamp()) // HOUR * HOUR, -(-int(end.timestamp()) // HOUR) * HOUR
    if first >= last:
        raise BadRequest("The usage ends before it begins. Give `from` a time before `to`.", param="from")
    return first, last


def spans(first: int, last: int) -> list[Span]:
    """Return the ranges of sums that make up a time of whole hours."""
    first_day, last_day = -(-first // DAY) * DAY, last // DAY * DAY
    if first_day >= last_day:
        return [Span(HOUR, first, last)]
    parts = [Span(HOUR, first, first_day), Span(DAY, first_day, last_day), Span(HOUR, last_day, last)]
    return [each for each in parts if each.start < each.end]


def _by_name(sums: Mapping[str, _Sum], names: Mapping[int, str | None]) -> Mapping[str, _Sum]:
    """Return the sums of users by their names. Users of several projects may share one."""
    named: dict[str, _Sum] = {}
    for value, found in sums.items():
        name = (names.get(int(value)) or f"erased-{value}") if value else ""
        if (first := named.setdefault(name, found)) is not found:
            first.merge(found)
    return named


def _measures(found: _Sum) -> Mapping[str, Any]:
    numbers = dict(zip(MEASURES, found.numbers or [0] * len(MEASURES), strict=True))
    micros = numbers.pop("replica_micros")
    amounts = {"costs": found.costs, "provider_costs": found.bought, "margins": found.margins()}
    return {
        **numbers,
        "replica_seconds": micros / 1e6,
        **{name: _formatted(nanos) for name, nanos in amounts.items()},
    }


def _formatted(nanos: Mapping[str, int]) -> dict[str, str]:
    return {currency: format_nanos(each) for currency, each in sorted(nanos.items())} if nanos else {}


def _check(by: str) -> None:
    if by not in BY:
        near = nearest(by, list(BY), 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(BY)}."
        raise BadRequest(f"There is no usage by {by[:80]!r}. {hint}", param="by")


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
