"""Purchases: what providers ask, from a date on, what calls cost there, and what is left of what callers pay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from llmos.billing.entries import Purchase
from llmos.billing.ledger import Ledger
from llmos.billing.price_books import PriceBooks
from llmos.billing.purchases.books import ProviderPrices
from llmos.billing.purchases.costs import ProviderCosts
from llmos.billing.purchases.queries import CallFilter
from llmos.billing.purchases.tables import ProviderCallRow, ProviderPriceRow
from llmos.billing.usage import Usage
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from support.ledger import AT, entry, stored

START = datetime.fromtimestamp(AT, UTC)
ASKED = {
    "currency": "EUR",
    "prices": {"gpt": {"per_call": "0.01", "per_million_tokens": {"input": "1", "output": "4"}}},
}
REMOTE = "remote:far/gpt"


def check_provider(name: str) -> None:
    if name != "far":
        raise NotFound(f"There is no provider {name}.")


@pytest.fixture
def prices(database: Database) -> ProviderPrices:
    return ProviderPrices(database, check_provider=check_provider, clock=lambda: START)


@pytest.fixture
def costs(database: Database) -> ProviderCosts:
    return ProviderCosts(database, clock=lambda: START + timedelta(hours=2))


@pytest.fixture
def usage(database: Database) -> Usage:
    return Usage(database, clock=lambda: START + timedelta(hours=2))


def bought(call_id: str, *, input: int = 1000, cached: int = 0, output: int = 100, **fields: Any) -> Any:
    """Return the entry of a call that a provider has answered."""
    of_purchase = {name: fields.pop(name) for name in Purchase.__struct_fields__ if name in fields}
    used = Purchase(input_tokens=input, cached_input_tokens=cached, output_tokens=output, **of_purchase)
    return entry(call_id, version=REMOTE, purchase=used, **fields)


def rows(database: Database) -> list[ProviderCallRow]:
    with database.session() as session:
        return list(session.scalars(select(ProviderCallRow).order_by(ProviderCallRow.number)))


def test_a_call_costs_what_its_provider_asked_at_its_time(
    prices: ProviderPrices, ledger: Ledger, costs: ProviderCosts, database: Database
) -> None:
    prices.set("far", ASKED)
    dearer = {
        "currency": "USD",
        "from": (START + timedelta(hours=1)).isoformat(),
        "prices": {"default": {"per_call": "2"}},
    }
    prices.set("far", dearer)
    ledger.add([bought("early", at=AT - 1), bought("first"), bought("second", at=AT + 3600)])
    found = [(row.cost_nanos, row.currency, row.price_version) for row in rows(database)]
    assert found == [(None, "", None), (11_400_000, "EUR", 1), (2_000_000_000, "USD", 2)]
    (cost,) = costs.report().data
    assert (cost.provider, cost.model, cost.num_calls) == ("far", "gpt", 3)
    assert (cost.input_tokens, cost.output_tokens, cost.costs) == (3000, 300, {"EUR": "0.0114", "USD": "2"})
    assert costs.report("other").data == []


def test_what_is_cached_costs_as_input_unless_the_provider_asks_less(
    prices: ProviderPrices, ledger: Ledger, database: Database
) -> None:
    cheaper = {"per_million_tokens": {"input": "1", "cached_input": "0.1"}}
    prices.set("far", {"currency": "EUR", "prices": {"gpt": {"per_million_tokens": {"input": "1"}}, "other": cheaper}})
    other = entry("2", version="remote:far/other", purchase=Purchase(cached_input_tokens=10))
    ledger.add([bought("1", input=0, cached=10, output=0), other])
    assert [row.cost_nanos for row in rows(database)] == [10_000, 1_000]


def test_the_margin_is_what_is_left_of_the_cost(
    prices: ProviderPrices, ledger: Ledger, usage: Usage, database: Database
) -> None:
    PriceBooks(database, clock=lambda: START).set({"currency": "EUR", "prices": {"default": {"per_call": "0.5"}}})
    prices.set("far", ASKED)
    ledger.add([bought("far"), entry("near")])
    by_model = {row.value: row for row in usage.report("model").data}
    assert (by_model[REMOTE].costs, by_model[REMOTE].provider_costs) == ({"EUR": "0.5"}, {"EUR": "0.0114"})
    assert by_model[REMOTE].margins == {"EUR": "0.4886"}
    assert (by_model["smollm2@1"].provider_costs, by_model["smollm2@1"].margins) == ({}, {})
    for by, value in (("project", "acme"), ("key", "key-1"), ("user", "ann"), ("route", "dialogue"), ("day", None)):
        (row,) = usage.report(by).data
        assert row.value == value or value is None
        assert (row.costs, row.margins) == ({"EUR": "1"}, {"EUR": "0.9886"})
    (row,) = usage.report("project", project="acme").data
    assert (row.provider_costs, row.margins) == ({}, {})  # The project isn't told what its calls cost elsewhere.


def test_the_currencies_of_cost_and_price_may_differ(ledger: Ledger, usage: Usage, prices: ProviderPrices) -> None:
    prices.set("far", {**ASKED, "currency": "USD"})
    ledger.add([bought("1")])
    (row,) = usage.report("model").data
    assert (row.costs, row.provider_costs, row.margins) == ({}, {"USD": "0.0114"}, {"USD": "-0.0114"})


def test_what_nobody_is_charged_for_costs_all_the_same(
    prices: ProviderPrices, ledger: Ledger, usage: Usage, database: Database
) -> None:
    prices.set("far", ASKED)
    ledger.add(
        [
            bought("1", is_charged=False, outcome="failed"),
            bought("1", line=1),
            bought("2", outcome="shadow", is_charged=False),
        ]
    )
    assert [(row.call_id, row.line) for row in stored(database)] == [("1", 1)]
    assert [(row.line, row.outcome, row.is_charged) for row in rows(database)] == [
        (0, "failed", False),
        (1, "answered", True),
        (0, "shadow", False),
    ]
    (row,) = usage.report("model").data
    assert (row.num_calls, row.provider_costs) == (1, {"EUR": "0.0342"})


def test_a_call_that_is_stored_again_costs_once(prices: ProviderPrices, ledger: Ledger, costs: ProviderCosts) -> None:
    prices.set("far", ASKED)
    for _ in range(2):
        ledger.add([bought("1"), bought("2", is_charged=False, outcome="failed")])
    (cost,) = costs.report().data
    assert (cost.num_calls, cost.costs) == (2, {"EUR": "0.0228"})
    assert costs.totals() == [cost]
    assert [(attempt.call_id, attempt.cost) for attempt in costs.of_call("1")] == [("1", "0.0114")]


@pytest.mark.parametrize(
    ("reported", "differs"), [(11_400_000, False), (11_500_000, False), (11_600_000, True), (0, True)]
)
def test_the_cost_that_a_provider_names_is_compared_with_its_prices(
    prices: ProviderPrices, ledger: Ledger, costs: ProviderCosts, reported: int, differs: bool
) -> None:
    """A hundredth is tolerated: providers round."""
    prices.set("far", ASKED)
    ledger.add([bought("1", reported_cost_nanos=reported, differences=("input",))])
    (cost,) = costs.report().data
    assert cost.costs == {"EUR": "0.0114"}
    assert cost.differences == {"input": 1} | ({"cost": 1} if differs else {})
    (call,) = costs.calls(CallFilter(difference="any")).data
    assert call.differences == (["input", "cost"] if differs else ["input"])
    assert len(costs.calls(CallFilter(difference="cost")).data) == differs
    assert costs.calls(CallFilter(difference="unreported")).data == []


def test_without_prices_a_call_costs_what_the_provider_names(ledger: Ledger, costs: ProviderCosts) -> None:
    ledger.add([bought("1", reported_cost_nanos=2_000_000), bought("2")])
    (cost,) = costs.report().data
    assert (cost.costs, cost.reported_costs, cost.reported_calls) == ({"USD": "0.002"}, {"USD": "0.002"}, 1)
    assert cost.differences == {}
    second, first = costs.calls(CallFilter()).data
    assert (first.cost, first.currency, first.price_version, second.cost) == ("0.002", "USD", None, None)


def test_prices_and_calls_never_change(prices: ProviderPrices, ledger: Ledger, database: Database) -> None:
    prices.set("far", ASKED, actor="ada")
    ledger.add([bought("1")])
    assert [(each.version, each.created_by, each.prices) for each in prices.list("far")] == [
        (1, "ada", ASKED["prices"])
    ]
    for statement in (delete(ProviderPriceRow), update(ProviderCallRow).values(cost_nanos=0)):
        with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
            session.execute(statement)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"prices": ASKED["prices"]}, "`currency`"),
        ({"currency": "EUR"}, "`prices`"),
        ({"currency": "EUR", "prices": {"a b": {}}}, "no name of a model"),
        ({"currency": "EUR", "prices": {"gpt": {"per_second": "1"}}}, "no `prices.gpt.per_second`"),
        ({"currency": "EUR", "prices": {"gpt": {"per_million_tokens": {"embedding": "1"}}}}, "no `prices.gpt"),
        ({"currency": "EUR", "prices": {"gpt": {"per_call": [{"price": "2", "up_to": 1}, {"price": "1"}]}}}, "tiers"),
        ({"currency": "EUR", "prices": {"gpt": {"per_call": 0.1}}}, "in quotes"),
        ({**ASKED, "from": "2020-01-01"}, "has passed"),
        ({**ASKED, "free": {}}, "have the fields"),
        ([], "have the fields"),
    ],
)
def test_a_wrong_document_is_refused_and_says_where(prices: ProviderPrices, document: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        prices.set("far", document)
    assert prices.list("far") == []


def test_a_provider_that_there_is_not_has_no_prices(prices: ProviderPrices) -> None:
    for ask in (lambda: prices.set("near", ASKED), lambda: prices.list("near")):
        with pytest.raises(NotFound, match="no provider near"):
            ask()


def test_a_wrong_filter_is_refused(costs: ProviderCosts) -> None:
    with pytest.raises(BadRequest, match="Did you mean output"):
        costs.calls(CallFilter(difference="outptu"))
    with pytest.raises(BadRequest, match="`limit` is 0"):
        costs.calls(CallFilter(limit=0))
