"""ProviderCosts: what calls cost at providers, by model, and which of them the providers can't have counted right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import add
from typing import Any, cast

from llmos.billing.entries import DIFFERENCES
from llmos.billing.purchases import queries
from llmos.billing.purchases.queries import SUMMED, CallFilter
from llmos.billing.purchases.tables import ProviderCallRow
from llmos.billing.queries import summed
from llmos.billing.usage import read_times, spans
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.money import format_nanos
from llmos.core.schemas.provider_costs import ProviderCall, ProviderCallPage, ProviderCost, ProviderCostReport
from llmos.core.suggest import nearest

MAX_LIMIT = 1000

_KINDS = ("any", *DIFFERENCES)
_COUNTS = ("num_calls", "num_estimated", "input_tokens", "cached_input_tokens", "output_tokens", "reported_calls")


@dataclass(slots=True)
class _Sum:
    numbers: list[int] = field(default_factory=lambda: [0] * len(SUMMED))
    costs: dict[str, int] = field(default_factory=dict)
    reported: dict[str, int] = field(default_factory=dict)

    def add(self, currency: str, numbers: Sequence[int]) -> None:
        self.numbers = [*map(add, self.numbers, numbers)]
        if currency:
            self.costs[currency] = self.costs.get(currency, 0) + numbers[-1]
        if numbers[SUMMED.index("reported_calls")]:
            self.reported[currency] = self.reported.get(currency, 0) + numbers[-2]


class ProviderCosts:
    """Any thread may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def report(
        self, provider: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> ProviderCostReport:
        """Return the costs of a time by model, the dearest first. `provider`: only of this one.

        The time is widened to whole hours; by default it is the last thirty days. Raises BadRequest.
        """
        first, last = read_times(start, end, self._clock())
        with self._database.session() as session:
            rows = summed(session, queries.SUMS, "model", spans(first, last), None)
        found = [each for each in _described(rows) if provider in (None, each.provider)]
        found.sort(key=lambda each: (-each.num_calls, each.provider, each.model))
        return ProviderCostReport(start=_moment(first), end=_moment(last), data=found)

    def totals(self) -> Sequence[ProviderCost]:
        """Return the costs by model since the first call, for metrics."""
        with self._database.session() as session:
            return _described(queries.totals(session))

    def of_call(self, call_id: str) -> Sequence[ProviderCall]:
        """Return the attempts of one call at providers, in their order."""
        with self._database.session() as session:
            return [_call(row) for row in queries.calls_of(session, call_id)]

    def calls(self, wanted: CallFilter) -> ProviderCallPage:
        """Return single calls, newest first. Raises BadRequest."""
        if wanted.difference is not None and wanted.difference not in _KINDS:
            near = nearest(wanted.difference, list(_KINDS), 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(_KINDS)}."
            raise BadRequest(f"There is no difference {wanted.difference[:80]!r}. {hint}", param="difference")
        if not 1 <= wanted.limit <= MAX_LIMIT:
            raise BadRequest(f"`limit` is {wanted.limit}; it may be 1 to {MAX_LIMIT}.", param="limit")
        with self._database.session() as session:
            return ProviderCallPage(data=[_call(row) for row in queries.calls(session, wanted)])


def _described(rows: Sequence[tuple[str, str, list[int]]]) -> list[ProviderCost]:
    sums: dict[str, _Sum] = {}
    for value, currency, numbers in rows:
        sums.setdefault(value, _Sum()).add(currency, numbers)
    return [_cost(value, found) for value, found in sums.items()]


def _cost(version: str, found: _Sum) -> ProviderCost:
    provider, _, model = version.removeprefix("remote:").partition("/")
    numbers = dict(zip(SUMMED, found.numbers, strict=True))
    differences = {kind: numbers[f"{kind}_differences"] for kind in DIFFERENCES}
    return ProviderCost(
        provider=provider,
        model=model,
        **{name: numbers[name] for name in _COUNTS},
        costs=_amounts(found.costs),
        reported_costs=_amounts(found.reported),
        differences=cast(dict[str, int], {kind: number for kind, number in differences.items() if number}),
    )


def _amounts(nanos: Mapping[str, int]) -> dict[str, str]:
    return {currency: format_nanos(each) for currency, each in sorted(nanos.items())}


def _call(row: ProviderCallRow) -> ProviderCall:
    same = (
        "call_id", "line", "project", "route", "version", "app", "outcome", "is_charged", "is_estimated",
        "input_tokens", "cached_input_tokens", "output_tokens", "currency", "price_version",
    )  # fmt: skip
    facts: dict[str, Any] = {name: getattr(row, name) for name in same}
    return ProviderCall(
        **facts,
        at=_moment(row.at),
        key=row.key_id,
        cost=None if row.cost_nanos is None else format_nanos(row.cost_nanos),
        reported_cost=None if row.reported_cost_nanos is None else format_nanos(row.reported_cost_nanos),
        differences=row.differences.split(",") if row.differences else [],
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
