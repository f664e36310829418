"""Rating: tiers, allowances and plans of a month, as lines that add up exactly."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.billing.ledger import Ledger
from llmos.billing.months import month_bounds, read_terms
from llmos.billing.plans.plan import Plan
from llmos.billing.price_books import PriceBooks, read_books
from llmos.billing.prices import MILLION, PriceBook, read_prices, read_units
from llmos.billing.rating import Line, PricedUsage, Term, rate, totals
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.money import NANOS
from support.ledger import AT, entry, stored

END = 30 * 86_400
TIERS = [{"up_to": 1_000_000, "price": "2"}, {"up_to": 3_000_000, "price": "1.5"}, {"price": "1"}]


def book(
    prices: Mapping[str, Any], *, version: int = 1, at: int = 0, free: Mapping[str, int] | None = None
) -> PriceBook:
    return PriceBook(
        version=version, valid_from=at, currency="EUR", prices=read_prices(prices), free=read_units(free or {}, "free")
    )


def usage(target: str = "default", version: int = 1, **quantities: int) -> PricedUsage:
    return PricedUsage(price_version=version, target=target, quantities=quantities)


def rated(books: Sequence[PriceBook], *usages: PricedUsage, plan: Plan | None = None) -> Sequence[Line]:
    return rate([Term(first=0, end=END, usage=usages, plan=plan)], {each.version: each for each in books})


def shown(lines: Sequence[Line]) -> list[tuple[str, str, int, float]]:
    return [(each.kind, each.target, each.quantity, each.amount_nanos / NANOS) for each in lines]


def test_tiers_price_the_parts_of_a_month() -> None:
    prices = book({"default": {"per_million_tokens": {"output": TIERS}}})
    lines = rated([prices], usage(output_tokens=3_500_000))
    assert shown(lines) == [
        ("usage", "default", 1_000_000, 2.0),
        ("usage", "default", 2_000_000, 3.0),
        ("usage", "default", 500_000, 0.5),
    ]
    assert [each.above for each in lines] == [0, 1_000_000, 3_000_000]
    assert totals(lines) == {"EUR": 5_500_000_000}


def test_what_is_free_for_a_target_goes_first_then_what_is_free_for_all_of_them_to_the_dearest() -> None:
    prices = book(
        {
            "default": {"per_million_tokens": {"input": "1"}, "free": {"input": 10}},
            "model:a": {"per_million_tokens": {"input": "3"}},
        },
        free={"input": 25},
    )
    lines = rated([prices], usage(input_tokens=30), usage("model:a", input_tokens=20))
    assert [(each.kind, each.target, each.quantity) for each in lines] == [
        ("free", "model:a", 20),
        ("free", "default", 10),
        ("free", "default", 5),
        ("usage", "default", 15),
    ]


def test_a_second_version_of_prices_has_its_own_lines_and_goes_on_where_the_first_ended() -> None:
    first = book({"default": {"per_million_tokens": {"output": TIERS}, "free": {"output": 100_000}}})
    second = book({"default": {"per_million_tokens": {"output": [*TIERS[:1], {"price": "0.1"}]}}}, version=2, at=9)
    lines = rated([first, second], usage(version=2, output_tokens=500_000), usage(output_tokens=1_000_000))
    assert [(each.price_version, each.kind, each.quantity, each.amount_nanos) for each in lines] == [
        (1, "free", 100_000, 0),
        (1, "usage", 900_000, 1_800_000_000),
        (2, "usage", 100_000, 200_000_000),
        (2, "usage", 400_000, 40_000_000),
    ]


def test_a_plan_includes_units_and_money_and_costs_its_share_of_the_month() -> None:
    prices = book({"default": {"per_call": "1", "per_second": "0.5"}})
    plan = Plan(
        name="team",
        currency="EUR",
        kind="subscription",
        monthly_fee=30 * NANOS,
        included={"num_calls": 10},
        included_spend=6 * NANOS,
    )
    terms = [
        Term(first=0, end=END // 3, usage=[usage(num_calls=2)]),
        Term(first=END // 3, end=END, plan=plan, usage=[usage(num_calls=12, replica_micros=MILLION)]),
    ]
    assert shown(rate(terms, {1: prices})) == [
        ("usage", "default", 2, 2.0),
        ("included", "default", 7, 0.0),
        ("usage", "default", 5, 5.0),
        ("usage", "default", MILLION, 0.5),
        ("allowance", "", 0, -4.0),
        ("fee", "", 0, 20.0),
    ]


def test_no_allowance_is_more_than_what_was_used() -> None:
    plan = Plan(name="team", currency="EUR", included_spend=100 * NANOS)
    lines = rated([book({"default": {"per_call": "1"}})], usage(num_calls=2), plan=plan)
    assert totals(lines) == {"EUR": 0}
    assert rated([], plan=plan) == []


def test_amounts_are_rounded_once_to_the_unit_that_is_asked_for() -> None:
    prices = book({"default": {"per_million_tokens": {"input": "0.000000001"}}})
    (line,) = rate([Term(first=0, end=END, usage=[usage(input_tokens=1_500_000)])], {1: prices})
    assert line.amount_nanos == 2
    cents = rate([Term(first=0, end=END, usage=[usage(num_calls=1)])], {1: book({"default": {"per_call": "0.125"}})},
                 round_to=NANOS // 100)  # fmt: skip
    assert totals(cents) == {"EUR": NANOS * 12 // 100}


PRICE = st.integers(0, 5 * NANOS)


@st.composite
def rates(draw: st.DrawFn) -> list[dict[str, Any]]:
    prices = sorted(draw(st.lists(PRICE, min_size=1, max_size=4)), reverse=True)
    ends = sorted(draw(st.sets(st.integers(1, 10**7), min_size=len(prices) - 1, max_size=len(prices) - 1)))
    texts = [f"{each // NANOS}.{each % NANOS:09d}" for each in prices]
    return [{"up_to": end, "price": text} for end, text in zip(ends, texts, strict=False)] + [{"price": texts[-1]}]


QUANTITY = st.integers(0, 10**8)
FREE = st.integers(0, 10**7)


@st.composite
def months(draw: st.DrawFn) -> tuple[PriceBook, Plan, list[PricedUsage]]:
    prices = {
        target: {"per_million_tokens": {"input": draw(rates())}, "free": {"input": draw(FREE)}}
        for target in ("default", "route:a")
    }
    plan = Plan(name="p", currency="EUR", included={"input_tokens": draw(FREE)}, included_spend=draw(PRICE))
    usages = [usage(target, input_tokens=draw(QUANTITY)) for target in prices]
    return book(prices, free={"input": draw(FREE)}), plan, usages


@settings(max_examples=40)
@given(months(), st.integers(0, 10**6))
def test_lines_are_all_that_was_used_at_exact_prices_never_more_than_the_list_and_grow_with_use(
    month: tuple[PriceBook, Plan, list[PricedUsage]], more: int
) -> None:
    prices, plan, usages = month
    lines = rated([prices], *usages, plan=plan)
    assert lines == rated([prices], *reversed(usages), plan=plan)
    for each in usages:
        own = [line for line in lines if line.target == each.target]
        is_priced = prices.prices[each.target].per_million_tokens["input"] > 0
        assert sum(line.quantity for line in own) == each.quantities["input_tokens"] * is_priced
        assert all(line.quantity > 0 for line in own)
    for line in lines:
        exact = Fraction(line.quantity * line.unit_price_nanos, MILLION)
        assert isinstance(line.amount_nanos, int)
        assert line.kind != "usage" or abs(line.amount_nanos - exact) <= Fraction(1, 2)
    listed = sum(
        Fraction(each.quantities["input_tokens"] * prices.prices[each.target].per_million_tokens["input"], MILLION)
        for each in usages
    )
    total = totals(lines)["EUR"] if lines else 0
    assert 0 <= total <= listed + len(lines)
    first, *rest = usages
    grown = usage(first.target, input_tokens=first.quantities["input_tokens"] + more)
    assert sum(totals(rated([prices], grown, *rest, plan=plan)).values()) >= total - len(lines)


@pytest.mark.parametrize(
    ("price", "what"),
    [
        ([], "1 to 20 tiers"),
        ([{"price": "1"}, {"price": "2"}], "every tier but the last"),
        ([{"up_to": 5, "price": "1"}], "every tier but the last"),
        ([{"up_to": 5, "price": "3"}, {"up_to": 5, "price": "2"}, {"price": "1"}], "they rise"),
        ([{"up_to": 5, "price": "1"}, {"price": "2"}], "cost more than the one before"),
        ([{"up_to": 0.5, "price": "1"}, {"price": "1"}], "whole number"),
        ([{"upto": 5, "price": "1"}, {"price": "1"}], "Did you mean up_to"),
        ([{"up_to": 5}, {"price": "1"}], r"output.0.price"),
    ],
)
def test_wrong_tiers_are_refused(price: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        read_prices({"default": {"per_million_tokens": {"output": price}}})


def test_a_months_usage_is_read_by_prices_and_without_what_was_taken_back(ledger: Ledger, database: Database) -> None:
    books = PriceBooks(database, clock=lambda: datetime.fromtimestamp(AT, UTC))
    books.set({"currency": "EUR", "prices": {"default": {"per_call": "1"}, "route:premium": {"per_call": "2"}}})
    later = datetime.fromtimestamp(AT + 60, UTC).isoformat()
    books.set({"currency": "EUR", "from": later, "prices": {"model:smollm2": {"per_call": "3"}}})
    ledger.add([entry("free", at=AT - 1), entry("a"), entry("b"), entry("c", route="premium"), entry("d", at=AT + 60)])
    ledger.add([entry("foreign", project="other")])
    month = month_bounds(datetime.fromtimestamp(AT, UTC))
    next_month = Ledger(database, clock=lambda: datetime.fromtimestamp(month[1] + 5, UTC))
    with database.session() as session:
        known = {each.version: each for each in read_books(session)}
        last = stored(database)[-1].number
        assert quantities(read_terms(session, known, "acme", month)) == [
            (1, "default", 2), (1, "route:premium", 1), (2, "model:smollm2", 1)
        ]  # fmt: skip
    next_month.reverse("a")
    with database.session() as session:
        assert quantities(read_terms(session, known, "acme", month))[0] == (1, "default", 1)
        assert quantities(read_terms(session, known, "acme", month, through=last))[0] == (1, "default", 2)
        assert quantities(read_terms(session, known, "acme", (month[1], month[1] + 60))) == []
        assert totals(rate(read_terms(session, known, "acme", month), known)) == {"EUR": 6 * NANOS}


def quantities(terms: Sequence[Term]) -> list[tuple[int, str, int]]:
    return [(each.price_version, each.target, each.quantities["num_calls"]) for term in terms for each in term.usage]


def test_months_are_those_of_utc() -> None:
    for year, month, days in ((2028, 2, 29), (2026, 12, 31)):
        first, end = month_bounds(datetime(year, month, 17, 5, tzinfo=UTC))
        assert (datetime.fromtimestamp(first, UTC), end - first) == (
            datetime(year, month, 1, tzinfo=UTC),
            days * 86_400,
        )
