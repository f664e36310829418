"""Rating: what a month's usage costs, by tiers, allowances and plans, as lines that add up exactly. Knows no database.

    month ─┬─ term: plan A ─┬─ term: plan B ─┐      a term has one version of one plan, or none
           usage by price version, target and measure
              ├─ free for its target, then free for all, then included in the plan     lines of 0
              └─ the rest, tier by tier                                                lines of quantity × price
           - what the plan includes as money,  + its fee by its share of the month
           - what prepaid credit has paid: all of the usage, so that nothing is owed

The ledger's own cost of an entry is the list price, which is never less: no tier costs more than the first one.
Only sums count, so the order of the entries doesn't matter.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmos.billing.plans.plan import ALL_TOKENS, TOKEN_MEASURES, Plan
from llmos.billing.prices import MILLION, PriceBook, Prices
from llmos.core.money import divide_half_even

LineKind = Literal["usage", "free", "included", "allowance", "fee", "prepaid"]
"""free: by the prices. included: by the plan, in units. allowance: by the plan, in money. fee: that of a plan. prepaid:
what credit has paid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedUsage:
    """The sum of the entries with the same prices."""

    price_version: int
    target: str
    """The prices that apply, such as route:premium."""
    version: str = ""
    """The version that answered, and below the route that it was asked for by: each pair has lines of its own."""
    route: str = ""
    quantities: Mapping[str, int]
    """By measure. None is negative: a reversal counts to the month of what it takes back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """A part of the month, from `first` up to before `end`, in seconds since 1970."""

    first: int
    end: int
    plan: Plan | None = None
    usage: Sequence[PricedUsage] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    kind: LineKind
    currency: str
    amount_nanos: int
    """Rounded once."""
    first: int
    """The beginning of the term, in seconds since 1970."""
    end: int
    plan: str = ""
    plan_version: int | None = None
    price_version: int | None = None
    target: str = ""
    version: str = ""
    route: str = ""
    measure: str = ""
    quantity: int = 0
    """Units of the measure."""
    unit_price_nanos: int = 0
    """For a call, a second, or a million tokens."""
    above: int = 0
    """The tier begins after this many units."""


def rate(terms: Sequence[Term], books: Mapping[int, PriceBook], *, round_to: int = 1) -> Sequence[Line]:
    """Return the lines of a month. Terms are in order, without gaps, and are the whole month.

    `books`: by version. `round_to`: the billionths that each line's amount is a multiple of; 10_000_000 is a cent.
    Quantities of earlier terms and price versions count for the tiers and allowances of later ones.
    """
    month = _Month(terms, books, round_to)
    return [line for term in terms for line in month.lines(term)]


def totals(lines: Sequence[Line]) -> Mapping[str, int]:
    """Return the sum of the lines in each currency, in billionths."""
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.currency] += line.amount_nanos
    return sums


def saved(lines: Sequence[Line], books: Mapping[int, PriceBook]) -> Mapping[str, int]:
    """Return how much less the lines are than the list prices, in each currency, in billionths.

    It is what tiers and allowances are worth, without what rounding does.
    """
    exact: Counter[str] = Counter()
    for line in lines:
        if line.price_version is not None:
            list_price = books[line.price_version].prices[line.target].tiers_of(line.measure)[0].price
            exact[line.currency] += line.quantity * (list_price - line.unit_price_nanos) * _weight(line.measure)
    return {currency: divide_half_even(amount, MILLION) for currency, amount in exact.items()}


def share_of_money(amount: int, seconds: int, of_seconds: int, round_to: int = 1) -> int:
    """Return the part of a month's amount that some of its seconds have."""
    return divide_half_even(amount * seconds, of_seconds * round_to) * round_to


def share_of_units(quantity: int, seconds: int, of_seconds: int) -> int:
    """Return the part of a month's units that some of its seconds have. Parts of units are rounded up."""
    return -(-quantity * seconds // of_seconds)


@dataclass(frozen=True, slots=True)
class _Part:
    """The units of one measure with the same prices."""

    book: PriceBook
    usage: PricedUsage
    prices: Prices
    measure: str
    quantity: int

    @property
    def target(self) -> str:
        return self.usage.target

    @property
    def list_price(self) -> int:
        return self.prices.tiers_of(self.measure)[0].price


class _Month:
    """The use of a month so far."""

    def __init__(self, terms: Sequence[Term], books: Mapping[int, PriceBook], round_to: int) -> None:
        self._books, self._round_to = books, round_to
        self._seconds = terms[-1].end - terms[0].first if terms else 0
        self._paid: Counter[tuple[str, str]] = Counter()
        """The units that tiers have counted, by target and measure."""
        self._taken: Counter[tuple[str, str, str]] = Counter()
        """The units that allowances have covered, by kind, name and measure."""
        self._included: Counter[tuple[str, str]] = Counter()
        """The units that plans include in this month, by plan and measure; the measure of money is empty."""
        for term in terms:
            self._include(term)

    def lines(self, term: Term) -> Iterator[Line]:
        spent: Counter[str] = Counter()
        for part in self._parts(term):
            for line in self._lines_of(term, part):
                spent[line.currency] += line.amount_nanos
                yield line
        if (plan := term.plan) is None:
            return
        covered = self._take(("money", plan.name, ""), spent[plan.currency], self._included[plan.name, ""])
        if covered:
            yield _line(term, "allowance", plan.currency, -covered)
        if plan.kind == "prepaid" and spent[plan.currency]:
            yield _line(term, "prepaid", plan.currency, -spent[plan.currency])
        if plan.monthly_fee:
            yield _line(term, "fee", plan.currency, self._share(term, plan.monthly_fee, self._round_to))

    def _include(self, term: Term) -> None:
        """Add what a term's plan includes, for its share of the month."""
        if (plan := term.plan) is not None:
            self._included[plan.name, ""] += self._share(term, plan.included_spend, self._round_to)
            for measure, quantity in plan.included.items():
                self._included[plan.name, measure] += share_of_units(quantity, term.end - term.first, self._seconds)

    def _share(self, term: Term, amount: int, round_to: int) -> int:
        return share_of_money(amount, term.end - term.first, self._seconds, round_to)

    def _parts(self, term: Term) -> Sequence[_Part]:
        """Return what has a price: version by version as they began, and the dearest first, so that what is free for
        several is used where it is worth the most."""

        def order(part: _Part) -> tuple[Any, ...]:
            book, usage = part.book, part.usage
            kind = "" if part.measure in TOKEN_MEASURES else part.measure
            place = (part.measure, usage.target, usage.version, usage.route)
            return book.valid_from, book.version, kind, -part.list_price, *place

        return sorted((part for usage in term.usage for part in self._parts_of(usage) if part.list_price), key=order)

    def _parts_of(self, usage: PricedUsage) -> Iterator[_Part]:
        book = self._books[usage.price_version]
        for measure, quantity in usage.quantities.items():
            assert quantity >= 0, "a reversal counts to the month of what it takes back"
            if quantity:
                yield _Part(book, usage, book.prices[usage.target], measure, quantity)

    def _lines_of(self, term: Term, part: _Part) -> Iterator[Line]:
        left, measure = part.quantity, part.measure
        for kind, key, allowed in self._allowances(term, part):
            if taken := self._take(key, left, allowed):
                yield _line(term, kind, part.book.currency, 0, part=part, quantity=taken)
                left -= taken
        position, above = self._paid[part.target, measure], 0
        self._paid[part.target, measure] += left
        for tier in part.prices.tiers_of(measure):
            end = position + left if tier.up_to is None else min(position + left, tier.up_to)
            if (quantity := end - max(position, above)) > 0:
                amount = self._amount(measure, quantity, tier.price)
                price = {"unit_price_nanos": tier.price, "above": above}
                yield _line(term, "usage", part.book.currency, amount, part=part, quantity=quantity, **price)
            above = tier.up_to or 0

    def _allowances(self, term: Term, part: _Part) -> Iterator[tuple[LineKind, tuple[str, str, str], int]]:
        """Yield (kind of the line, key, units allowed this month) in the order in which they are used."""
        measure = part.measure
        yield "free", ("target", part.target, measure), part.prices.free.get(measure, 0)
        yield "free", ("book", "", measure), part.book.free.get(measure, 0)
        if term.plan is not None:
            for unit in (measure, ALL_TOKENS) if measure in TOKEN_MEASURES else (measure,):
                yield "included", ("plan", term.plan.name, unit), self._included[term.plan.name, unit]

    def _take(self, key: tuple[str, str, str], wanted: int, allowed: int) -> int:
        """Use an allowance. A version may allow less than what an earlier one gave already."""
        taken = max(0, min(wanted, allowed - self._taken[key]))
        self._taken[key] += taken
        return taken

    def _amount(self, measure: str, quantity: int, price: int) -> int:
        exact = quantity * price * _weight(measure)
        return divide_half_even(exact, MILLION * self._round_to) * self._round_to


def _weight(measure: str) -> int:
    """Return what makes a quantity at its price millionths of a billionth: prices are for a million units or a call."""
    return MILLION if measure == "num_calls" else 1


def _line(
    term: Term,
    kind: LineKind,
    currency: str,
    amount: int,
    *,
    part: _Part | None = None,
    quantity: int = 0,
    **price: int,
) -> Line:
    plan = term.plan
    return Line(
        kind=kind,
        currency=currency,
        amount_nanos=amount,
        first=term.first,
        end=term.end,
        plan="" if plan is None else plan.name,
        plan_version=None if plan is None else plan.version,
        price_version=None if part is None else part.book.version,
        target="" if part is None else part.target,
        version="" if part is None else part.usage.version,
        route="" if part is None else part.usage.route,
        measure="" if part is None else part.measure,
        quantity=quantity,
        **price,
    )
