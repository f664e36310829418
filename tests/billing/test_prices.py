"""Prices: exact amounts, the most specific ones, versions that never change, and what entries cost by them."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

from llmos.billing.ledger import Ledger
from llmos.billing.plans.plans import Plans
from llmos.billing.price_books import PriceBooks, example
from llmos.billing.tables import PriceBookRow
from llmos.billing.usage import Usage
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.core.money import NANOS, divide_half_even, format_nanos, parse_nanos
from support.ledger import AT, check_sums, entry, stored

START = datetime.fromtimestamp(AT, UTC)
PRICES = {
    "default": {"per_call": "0.001", "per_million_tokens": {"input": "0.5", "output": "1.5"}},
    "model:smollm2": {"per_million_tokens": {"input": "0.1", "cached_input": "0.01"}},
    "model:smollm2@2": {"per_second": "0.0002"},
    "route:premium": {"per_call": "1"},
}


@pytest.fixture
def books(database: Database) -> PriceBooks:
    return PriceBooks(database, clock=lambda: START)


@given(st.integers(0, 10**15))
def test_amounts_are_exact_both_ways(nanos: int) -> None:
    assert parse_nanos(format_nanos(nanos), "price", limit=10**7) == nanos
    assert Fraction(format_nanos(nanos)) == Fraction(nanos, NANOS)


@pytest.mark.parametrize("text", [0.1, True, "1e3", "-1", "0.1234567890", "", None, "١", "1001"])
def test_what_is_no_exact_amount_is_refused(text: Any) -> None:
    with pytest.raises(BadRequest, match="`price`"):
        parse_nanos(text, "price", limit=1000)


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_is_to_the_nearest_and_halves_to_even(numerator: int, divisor: int) -> None:
    assert divide_half_even(numerator, divisor) == round(Fraction(numerator, divisor))


def test_the_most_specific_prices_apply_alone(books: PriceBooks) -> None:
    books.set({"currency": "EUR", "prices": PRICES})
    found = [
        books.try_out(example(version=version, route=route, input=1_000_000, output=3, replica_micros=2_000_000))
        for version, route in (("other@1", "x"), ("smollm2@1", "x"), ("smollm2@2", ""), ("smollm2@2", "premium"))
    ]
    assert [(each.applied, each.cost) for each in found] == [
        ("default", "0.5010045"),
        ("model:smollm2", "0.1"),
        ("model:smollm2@2", "0.0004"),
        ("route:premium", "1"),
    ]


def test_a_price_is_tried_as_a_project_or_a_plan_has_it(books: PriceBooks, database: Database) -> None:
    books.set({"currency": "EUR", "prices": {"default": {"per_call": "1"}}})
    plans = Plans(database, clock=lambda: START)
    plans.set({"name": "team", "kind": "pay_as_you_go", "currency": "EUR", "prices": {"default": {"per_call": "0.5"}}})
    plans.set({"name": "same", "kind": "pay_as_you_go", "currency": "EUR"})
    plans.assign("team", "acme")
    found = [
        books.try_out(example(version="smollm2@1", project=project), plan=plan)
        for project, plan in (("", ""), ("acme", ""), ("other", ""), ("", "team"), ("acme", "same"))
    ]
    assert [(each.cost, each.plan) for each in found] == [
        ("1", ""),
        ("0.5", "team"),
        ("1", ""),
        ("0.5", "team"),
        ("1", ""),
    ]
    with pytest.raises(NotFound, match="Did you mean team"):
        books.try_out(example(), plan="teem")


def test_entries_keep_the_price_of_their_time(books: PriceBooks, ledger: Ledger, database: Database) -> None:
    ledger.add([entry("free", at=AT - 1)])
    books.set({"currency": "EUR", "prices": {"default": {"per_call": "1"}}})
    later = (START + timedelta(hours=1)).isoformat()
    books.set({"currency": "USD", "from": later, "prices": {"default": {"per_call": "2"}}})
    ledger.add([entry("first"), entry("second", at=AT + 3600), entry("late", at=AT + 1)])
    costs = [(row.cost_nanos, row.currency, row.price_version) for row in stored(database)]
    assert costs == [(None, "", None), (NANOS, "EUR", 1), (2 * NANOS, "USD", 2), (NANOS, "EUR", 1)]
    check_sums(database)
    ledger.reverse("second")
    (row,) = Usage(database).report("project", START - timedelta(days=1), datetime(2100, 1, 1, tzinfo=UTC)).data
    assert row.costs == {"EUR": "2", "USD": "0"}


def test_a_version_never_changes(books: PriceBooks, database: Database) -> None:
    books.set({"currency": "EUR", "prices": PRICES}, actor="ada")
    assert [(each.version, each.created_by) for each in books.list()] == [(1, "ada")]
    assert books.get() == books.get(1) == books.list()[0]
    assert books.get(1).prices == PRICES
    with pytest.raises(NotFound, match="no version 2"):
        books.get(2)
    with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
        session.execute(delete(PriceBookRow))


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"prices": PRICES}, "`currency`"),
        ({"currency": "EUR"}, "`prices`"),
        ({"currency": "EUR", "prices": {"models": {}}}, "is for nothing"),
        ({"currency": "EUR", "prices": {"default": {"per_cal": "1"}}}, "Did you mean per_call"),
        ({"currency": "EUR", "prices": {"default": {"per_call": 0.1}}}, "in quotes"),
        ({"currency": "EUR", "prices": {"default": {"per_million_tokens": {"out": "1"}}}}, "no `prices.default"),
        ({"currency": "EUR", "prices": PRICES, "from": "2020-01-01"}, "has passed"),
        ({"currency": "EUR", "prices": PRICES, "from": "soon"}, "Write a date"),
        ([], "has the fields"),
    ],
)
def test_a_wrong_document_is_refused_and_says_where(books: PriceBooks, document: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        books.set(document)
    assert books.list() == []


def test_a_model_at_a_provider_has_a_price_of_its_own(books: PriceBooks) -> None:
    prices = {"default": {"per_call": "1"}, "model:remote:openai/gpt-4o:free": {"per_call": "2"}}
    books.set({"currency": "EUR", "prices": prices})
    found = [books.try_out(example(version=f"remote:openai/{name}")).cost for name in ("gpt-4o:free", "other")]
    assert found == ["2", "1"]
