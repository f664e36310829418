"""Prepaid credit: top-ups, what is left, and that no call uses more than there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text
from sqlalchemy.exc import DBAPIError

from llmos.billing.credit.credit import Credit
from llmos.billing.credit.returns import CreditReturns
from llmos.billing.credit.tables import CreditLineRow
from llmos.billing.ledger import Ledger
from llmos.billing.limits import Payer
from llmos.billing.months import month_bounds, read_terms
from llmos.billing.opening import open_limits
from llmos.billing.plans.plans import Plans
from llmos.billing.price_books import PriceBooks, read_books
from llmos.billing.rating import rate, totals
from llmos.billing.reservations import Grant, Outcome, Reservations, Want
from llmos.billing.worst_cases import WorstCase
from llmos.core.database import Database
from llmos.core.errors import BadRequest, BudgetExceeded, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.money import NANOS, format_nanos
from support.ledger import AT, entry

START = datetime.fromtimestamp(AT, UTC)
PREPAID = {"name": "prepaid", "kind": "prepaid", "currency": "EUR", "alerts": [50, 100]}


@pytest.fixture
def held(database: Database) -> Reservations:
    """The project acme has a prepaid plan; a call costs 1 EUR, and a million output tokens 2."""
    prices = {"default": {"per_call": "1", "per_million_tokens": {"output": "2"}}}
    PriceBooks(database, clock=lambda: START).set({"currency": "EUR", "prices": prices})
    plans = Plans(database, clock=lambda: START)
    plans.set(PREPAID)
    plans.assign("prepaid", "acme")
    return open_limits(database)


@pytest.fixture
def ledger(database: Database, held: Reservations) -> Ledger:
    return Ledger(database, held)


@pytest.fixture
def credit(database: Database, held: Reservations) -> Credit:
    return Credit(database, held.book, clock=lambda: START)


def call(call_id: str, **fields: Any) -> Any:
    return entry(call_id, **{"input_tokens": 0, "output_tokens": 0} | fields)


def reserve(database: Database, held: Reservations, call_id: str, *, output: int = 0, at: int = AT) -> Outcome:
    case = WorstCase(operation="generate", versions=["smollm2@1"], input_tokens=1, num_outputs=1, output_tokens=output)
    want = Want(call_id=call_id, payer=Payer("acme", "key-1", ""), at=at, case=case)
    with database.counting(is_durable=True) as session:
        (outcome,) = held.reserve(session, [want], "server-1")
    return outcome


def test_what_was_paid_in_pays_for_calls_and_nothing_more(
    database: Database, held: Reservations, ledger: Ledger, credit: Credit
) -> None:
    refused = reserve(database, held, "none")
    assert isinstance(refused, BudgetExceeded)
    assert "The credit acme for the project acme is 0 EUR" in refused.message
    found = credit.add("acme", "5", "EUR", note="Transfer 4711", actor="ada")
    assert (found.balance, found.left, found.is_used) == ("5", "5", True)
    granted = reserve(database, held, "a", output=1_000_000)
    assert isinstance(granted, Grant)
    assert (credit.get("acme")[0].reserved, credit.get("acme")[0].left) == ("3", "2")
    shortened = reserve(database, held, "b", output=1_000_000)
    assert isinstance(shortened, Grant)
    assert shortened.output_tokens == 500_000
    assert isinstance(reserve(database, held, "c"), BudgetExceeded)
    ledger.add([call("a", output_tokens=250_000), call("b", output_tokens=500_000)])
    (left,) = credit.get("acme")
    assert (left.balance, left.reserved, left.spent, left.topped_up) == ("1.5", "0", "3.5", "5")
    assert [(each.kind, each.name, each.percent) for each in left.alerts] == [("credit", "acme", 50)]


def test_a_top_up_counts_once_and_what_runs_stays_reserved(
    database: Database, held: Reservations, ledger: Ledger, credit: Credit
) -> None:
    credit.add("acme", "2", "EUR", key="transfer-1")
    reserve(database, held, "a", output=500_000)
    credit.add("acme", "2", "EUR", key="transfer-1")
    with pytest.raises(Conflict, match="another top-up"):
        credit.add("acme", "3", "EUR", key="transfer-1")
    more = credit.add("acme", "1", "EUR", key="transfer-2")
    assert (more.balance, more.reserved, more.left) == ("3", "2", "1")
    ledger.add([call("a", output_tokens=500_000)])
    (found,) = credit.get("acme")
    assert (found.balance, found.reserved) == ("1", "0")
    assert [(each.amount, each.balance) for each in found.lines] == [("1", "3"), ("2", "2")]
    assert found.alerts[0].percent == 50, "two of the three that were left"


def test_a_top_up_is_taken_back_by_another_line(database: Database, ledger: Ledger, credit: Credit) -> None:
    (line,) = credit.add("acme", "2", "EUR").lines
    ledger.add([call("a")])
    found = credit.reverse("acme", line.id, note="The transfer was returned", actor="ada")
    assert (found.balance, found.left, found.topped_up, found.spent) == ("-1", "0", "0", "1")
    assert (found.lines[0].amount, found.lines[0].reversal_of) == ("-2", line.id)
    for again in (line.id, found.lines[0].id):
        with pytest.raises(Conflict, match="reversed already"):
            credit.reverse("acme", again)
    with pytest.raises(NotFound, match="no line"):
        credit.reverse("other", line.id)
    with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
        session.execute(delete(CreditLineRow))


@pytest.mark.parametrize(
    ("amount", "currency"), [("0", "EUR"), ("-1", "EUR"), ("1e3", "EUR"), ("1", "euro"), ("10000000000", "EUR")]
)
def test_what_is_no_amount_is_refused(credit: Credit, amount: str, currency: str) -> None:
    with pytest.raises(BadRequest):
        credit.add("acme", amount, currency)
    assert credit.list() == []


def test_only_calls_on_a_prepaid_plan_cost_credit_and_a_reversal_gives_it_back(
    database: Database, held: Reservations, ledger: Ledger, credit: Credit
) -> None:
    credit.add("acme", "2", "EUR")
    plans = Plans(database, held.book, clock=lambda: START)
    plans.assign(None, "acme", valid_from=(START + timedelta(hours=1)).isoformat())
    ledger.add([call("before", at=AT - 1), call("during"), call("after", at=AT + 3600), call("other", project="other")])
    assert credit.get("acme")[0].balance == "1"
    assert isinstance(reserve(database, held, "free", output=10**9, at=AT + 3600), Grant)
    ledger.reverse("before")
    ledger.reverse("after")
    assert credit.get("acme")[0].balance == "1"
    ledger.reverse("during", note="It was empty")
    assert credit.get("acme")[0].balance == "2"


def test_what_tiers_and_free_units_make_cheaper_is_given_back_once(database: Database) -> None:
    output = [{"up_to": 1_000_000, "price": "2"}, {"price": "1"}]
    prices = {"default": {"per_call": "1", "per_million_tokens": {"output": output}, "free": {"calls": 1}}}
    PriceBooks(database, clock=lambda: START).set({"currency": "EUR", "prices": prices})
    plans, credit = Plans(database, clock=lambda: START), Credit(database, clock=lambda: START)
    plans.set(PREPAID)
    plans.assign("prepaid", "acme")
    credit.add("acme", "20", "EUR")
    Ledger(database).add([call("a", output_tokens=1_500_000), call("b", output_tokens=500_000)])
    assert credit.get("acme")[0].balance == "14"
    returns = CreditReturns(database, credit, clock=lambda: START + timedelta(days=31))
    assert (returns.add(), returns.add()) == (1, 0)
    (found,) = credit.get("acme")
    assert (found.balance, found.lines[0].amount) == ("16", "2")
    month = month_bounds(START)
    with database.session() as session:
        books = {each.version: each for each in read_books(session)}
        lines = rate(read_terms(session, books, "acme", month), books)
    assert lines[-1].kind == "prepaid"
    assert totals(lines) == {"EUR": 0}
    assert -lines[-1].amount_nanos == (20 - 16) * NANOS, "what credit has paid in the end"


def test_what_is_stored_late_changes_what_is_given_back(database: Database) -> None:
    prices = {"default": {"per_call": "1", "free": {"calls": 2}}}
    PriceBooks(database, clock=lambda: START).set({"currency": "EUR", "prices": prices})
    plans, credit, ledger = (
        Plans(database, clock=lambda: START),
        Credit(database, clock=lambda: START),
        Ledger(database),
    )
    plans.set(PREPAID)
    plans.assign("prepaid", "acme")
    credit.add("acme", "20", "EUR")
    ledger.add([call("a"), call("other", project="other")])
    later = START + timedelta(days=31)
    returns = CreditReturns(database, credit, clock=lambda: later)
    assert (returns.add(), credit.get("acme")[0].balance) == (1, "20")
    ledger.add([call("b"), call("now", at=int(later.timestamp()))])
    assert (returns.add(), credit.get("acme")[0].balance) == (1, "19"), "of this month, a call isn't free yet"
    ledger.reverse("b")
    assert (returns.add(), credit.get("acme")[0].balance) == (1, "19"), "what was free is worth nothing twice"
    assert [line.amount for line in credit.get("acme")[0].lines] == ["-1", "1", "1", "20"]
    fresh = CreditReturns(database, credit, clock=lambda: later)
    assert (returns.add(), fresh.add()) == (0, 0)


STEP = st.one_of(
    st.tuples(st.just("pay"), st.integers(1, 5 * NANOS)), st.tuples(st.just("call"), st.integers(0, 10**6))
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, min_size=1, max_size=8))
def test_the_balance_is_what_was_paid_in_less_what_calls_cost(
    database: Database, ledger: Ledger, credit: Credit, steps: list[tuple[str, int]]
) -> None:
    for kind, number in steps:
        if kind == "pay":
            credit.add("acme", format_nanos(number), "EUR")
        else:
            ledger.add([call(new_id("call"), output_tokens=number)])
    with database.session() as session:
        paid = int(session.scalar(text("SELECT coalesce(sum(amount_nanos), 0) FROM credit_lines")))
        cost = int(session.scalar(text("SELECT coalesce(sum(cost_nanos), 0) FROM ledger_entries")))
    for found in credit.get("acme"):
        assert found.balance == format_nanos(paid - cost)
        assert (found.topped_up, found.spent) == (format_nanos(paid), format_nanos(cost))
