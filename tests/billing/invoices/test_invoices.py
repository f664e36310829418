"""Invoices: numbers without gaps, lines that add up, what arrives late, and what is taken back."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from itertools import count
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from llmos.billing.entries import Entry
from llmos.billing.invoices.entries import EntryReader
from llmos.billing.invoices.invoices import Invoices, NewInvoice
from llmos.billing.invoices.settings import InvoiceSettingsBook
from llmos.billing.invoices.tables import InvoiceRow
from llmos.billing.invoices.verification import InvoiceVerifier
from llmos.billing.ledger import Ledger
from llmos.billing.price_books import PriceBooks
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.schemas.invoices import InvoiceDescription
from support.examples import examples
from support.ledger import entry

SEPTEMBER, OCTOBER, NOVEMBER = (int(datetime(2026, month, 15, tzinfo=UTC).timestamp()) for month in (9, 10, 11))
PRICES = {
    "default": {"per_call": "0.001", "per_million_tokens": {"input": "0.5", "output": "1.5"}},
    "route:premium": {"per_call": "1"},
}
SELLER = {"name": "Beispiel GmbH", "address": ["Straße 1", "10115 Berlin"]}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 9, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def invoices(database: Database, clock: Clock) -> Invoices:
    """Prices since September, a seller, and invoices on 3 December."""
    PriceBooks(database, clock=clock).set({"currency": "EUR", "prices": PRICES})
    InvoiceSettingsBook(database).set({"seller": SELLER, "taxes": [{"name": "VAT 19 %", "percent": "19"}]})
    clock.now = datetime(2026, 12, 3, 12, tzinfo=UTC)
    return Invoices(database, clock=clock)


def make(invoices: Invoices, month: str = "2026-11", **fields: Any) -> InvoiceDescription:
    return invoices.make(NewInvoice(project="acme", month=month, **fields), actor="ada")


def shown(invoice: InvoiceDescription) -> list[tuple[str, str, str, str]]:
    return [(line.month, line.measure, line.quantity, line.amount) for line in invoice.lines]


def test_an_invoice_has_a_line_for_each_kind_of_price_and_adds_up(invoices: Invoices, ledger: Ledger) -> None:
    ledger.add([entry(f"a{n}", at=NOVEMBER, input_tokens=1_000_000, output_tokens=333_333) for n in range(3)])
    ledger.add([entry("b", at=NOVEMBER, route="premium"), entry("other", at=NOVEMBER, project="beta")])
    invoice = make(invoices)
    assert [(line.description, line.quantity, line.unit_price, line.exact, line.amount) for line in invoice.lines] == [
        ("smollm2@1 through dialogue, calls", "3", "0.001", "0.003", "0.00"),
        ("smollm2@1 through dialogue, input tokens", "3000000", "0.5", "1.5", "1.50"),
        ("smollm2@1 through dialogue, output tokens", "999999", "1.5", "1.4999985", "1.50"),
        ("smollm2@1 through premium, calls", "1", "1", "1", "1.00"),
    ]
    assert (invoice.net, invoice.taxes[0].amount, invoice.total) == ("4.00", "0.76", "4.76")
    assert (invoice.number, invoice.num_entries, invoice.due_on) == ("2026-0001", 4, date(2027, 1, 2))
    assert invoice.seller.address == SELLER["address"]
    assert invoice.buyer.name == "acme"
    assert invoices.get(invoice.number) == invoice
    with pytest.raises(NotFound, match="no invoice"):
        invoices.get(invoice.number, project="beta")


def test_numbers_have_no_gaps_and_a_month_is_made_once(invoices: Invoices, ledger: Ledger) -> None:
    ledger.add([entry("a", at=OCTOBER, route="premium"), entry("b", at=NOVEMBER, route="premium")])
    first = make(invoices, "2026-10")
    with pytest.raises(Conflict, match=first.number):
        make(invoices, "2026-10")
    with pytest.raises(BadRequest, match="isn't over"):
        make(invoices, "2026-12")
    with pytest.raises(BadRequest, match="nothing to pay"):
        invoices.make(NewInvoice(project="beta", month="2026-11"))
    second = make(invoices)
    assert [each.number for each in invoices.list("acme")] == [second.number, first.number]
    assert (first.number, second.number) == ("2026-0001", "2026-0002")
    with pytest.raises(Conflict, match=f"{second.number}.*includes everything"):
        make(invoices, "2026-09")


def test_a_draft_has_no_number_and_shows_a_month_that_isnt_over(
    invoices: Invoices, ledger: Ledger, clock: Clock
) -> None:
    ledger.add([entry("a", at=int(clock.now.timestamp()), route="premium")])
    draft = make(invoices, "2026-12", is_draft=True)
    assert (draft.number, draft.net, draft.lines[0].month) == ("", "1.00", "2026-12")
    assert invoices.list() == []


def test_without_a_seller_no_invoice_is_made(invoices: Invoices, ledger: Ledger, database: Database) -> None:
    ledger.add([entry("a", at=NOVEMBER, route="premium")])
    InvoiceSettingsBook(database).set({})
    with pytest.raises(BadRequest, match="llmos invoice configure"):
        make(invoices)
    assert make(invoices, is_draft=True).net == "1.00"


def test_what_arrives_late_is_on_the_next_invoice_under_its_own_month(
    invoices: Invoices, ledger: Ledger, database: Database
) -> None:
    ledger.add([entry("in time", at=OCTOBER, route="premium"), entry("next", at=NOVEMBER, route="premium")])
    first = make(invoices, "2026-10")
    ledger.add([entry("late", at=OCTOBER, route="premium"), entry("very late", at=SEPTEMBER, route="premium")])
    second = make(invoices)
    assert shown(first) == [("2026-10", "calls", "1", "1.00")]
    assert shown(second) == [(month, "calls", "1", "1.00") for month in ("2026-09", "2026-10", "2026-11")]
    on_each = [
        [each.call_id for each in EntryReader(database).read(number)] for number in (first.number, second.number)
    ]
    assert on_each == [["in time"], ["very late", "late", "next"]]
    assert all(InvoiceVerifier(database).verify(each.number).is_correct for each in (first, second))


def test_a_reversal_counts_to_the_month_of_what_it_takes_back(
    invoices: Invoices, ledger: Ledger, database: Database
) -> None:
    ledger.add([entry(name, at=OCTOBER, route="premium") for name in ("a", "b", "c")])
    ledger.reverse("a")
    first = make(invoices, "2026-10")
    ledger.reverse("b")
    ledger.add([entry("d", at=NOVEMBER, route="premium")])
    second = make(invoices)
    assert shown(first) == [("2026-10", "calls", "2", "2.00")]
    assert shown(second) == [("2026-10", "calls", "-1", "-1.00"), ("2026-11", "calls", "1", "1.00")]
    on_each = [
        [(each.call_id, each.line) for each in EntryReader(database).read(number)]
        for number in (first.number, second.number)
    ]
    assert on_each == [[("a", 0), ("b", 0), ("c", 0), ("a", -1)], [("d", 0), ("b", -1)]]
    assert all(InvoiceVerifier(database).verify(each.number).is_correct for each in (first, second))


def test_a_credit_note_takes_an_invoice_back_and_its_month_can_be_charged_again(
    invoices: Invoices, ledger: Ledger, database: Database
) -> None:
    ledger.add([entry("a", at=OCTOBER, route="premium"), entry("b", at=NOVEMBER, route="premium")])
    first, second = make(invoices, "2026-10"), make(invoices)
    note = invoices.credit(first.number, reason="Wrong address", actor="ada")
    assert (note.number, note.kind, note.corrects, note.total) == ("2026-0003", "credit_note", first.number, "-1.19")
    with pytest.raises(Conflict, match=f"credit note {note.number}"):
        invoices.credit(first.number)
    with pytest.raises(Conflict, match="is a credit note"):
        invoices.credit(note.number)
    ledger.add([entry("late", at=OCTOBER, route="premium")])
    InvoiceSettingsBook(database).set({"buyer": {"name": "ACME Ltd"}}, project="acme")
    again = make(invoices, "2026-10")
    assert (again.number, again.replaces, again.lines, again.buyer.name) == (
        "2026-0004", first.number, first.lines, "ACME Ltd"
    )  # fmt: skip
    assert [(each.number, each.corrected_by) for each in invoices.list()] == [
        ("2026-0004", ""), ("2026-0003", ""), (second.number, ""), (first.number, note.number)
    ]  # fmt: skip
    verifier = InvoiceVerifier(database)
    assert all(verifier.verify(each.number).is_correct for each in (first, second, note, again))


def test_an_invoice_never_changes(invoices: Invoices, ledger: Ledger, database: Database) -> None:
    ledger.add([entry("a", at=NOVEMBER, route="premium")])
    make(invoices)
    for statement in (delete(InvoiceRow), update(InvoiceRow).values(document="{}")):
        with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
            session.execute(statement)
    if database.is_sqlite:
        with pytest.raises(DBAPIError, match="append-only"), database.transaction() as session:
            session.execute(text("INSERT OR REPLACE INTO invoices SELECT * FROM invoices"))


@pytest.mark.parametrize("what", ["quantity", "cost", "price", "invoice"])
def test_what_was_changed_by_hand_is_found_and_named(
    what: str, invoices: Invoices, ledger: Ledger, database: Database
) -> None:
    ledger.add([entry("a", at=NOVEMBER, route="premium"), entry("b", at=NOVEMBER, input_tokens=10_000_000)])
    invoice = make(invoices)
    with database.transaction() as session:
        for name in ("ledger_entries", "price_books", "invoices"):
            for trigger in ("no_update",) if database.is_sqlite else ("no_change",):
                on = "" if database.is_sqlite else f" ON {name}"
                session.execute(text(f"DROP TRIGGER {name}_{trigger}{on}"))
        statements = {
            "quantity": "UPDATE ledger_entries SET input_tokens = 20000000 WHERE call_id = 'b'",
            "cost": "UPDATE ledger_entries SET cost_nanos = 1 WHERE call_id = 'b'",
            "price": "UPDATE price_books SET document = replace(document, '\"0.5\"', '\"0.7\"')",
            "invoice": 'UPDATE invoices SET document = replace(document, \'"amount":"5.00"\', \'"amount":"4.00"\')',
        }
        session.execute(text(statements[what]))
    found = InvoiceVerifier(database).verify(invoice.number)
    assert not found.is_correct
    wrong = [check.description for check in found.lines if not check.is_correct]
    if what == "cost":
        assert wrong == []
        assert found.problems == ["The cost of the entry b/0 isn't that of what it counts."]
    else:
        assert wrong == ["smollm2@1 through dialogue, input tokens"]


def test_an_entry_that_is_being_stored_meanwhile_is_on_one_invoice(
    invoices: Invoices, ledger: Ledger, database: Database
) -> None:
    """The one with the lower number becomes visible last, unless the invoice waits for it."""
    ledger.add([entry("before", at=OCTOBER, route="premium")])
    is_adding, may_commit = Event(), Event()

    class Slow(Ledger):
        def _current_prices(self, session: Any) -> Any:
            is_adding.set()
            assert may_commit.wait(30)
            return super()._current_prices(session)

    with ThreadPoolExecutor() as pool:
        adding = pool.submit(Slow(database).add, [entry("slow", at=OCTOBER, route="premium")])
        assert is_adding.wait(30)
        making = pool.submit(make, invoices, "2026-10")
        may_commit.set()
        adding.result()
        invoice = making.result()
    ledger.add([entry("after", at=NOVEMBER, route="premium")])
    second = make(invoices)
    answers = [each.call_id for number in (invoice, second) for each in EntryReader(database).read(number.number)]
    assert sorted(answers) == ["after", "before", "slow"]


def test_invoices_that_are_made_at_once_are_one(invoices: Invoices, ledger: Ledger) -> None:
    ledger.add([entry("a", at=NOVEMBER, route="premium")])

    def attempt(_: int) -> str:
        try:
            return make(invoices).number
        except Conflict:
            return ""

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for number in pool.map(attempt, range(4)) if number]
    assert numbers == ["2026-0001"]
    assert len(invoices.list()) == 1


def test_each_currency_has_an_invoice_of_its_own(
    invoices: Invoices, ledger: Ledger, database: Database, clock: Clock
) -> None:
    clock.now = datetime(2026, 11, 1, tzinfo=UTC)
    PriceBooks(database, clock=clock).set({"currency": "JPY", "prices": {"default": {"per_call": "10.4"}}})
    clock.now = datetime(2026, 12, 3, tzinfo=UTC)
    ledger.add([entry("a", at=OCTOBER, route="premium"), entry("b", at=NOVEMBER)])
    with pytest.raises(BadRequest, match="--currency EUR"):
        make(invoices)
    assert [make(invoices, currency=each).net for each in ("EUR", "JPY")] == ["1.00", "10"]


calls = st.lists(
    st.tuples(
        st.sampled_from([SEPTEMBER, OCTOBER, NOVEMBER]),
        st.sampled_from(["dialogue", "premium", ""]),
        st.sampled_from(["smollm2@1", "other@2"]),
        st.integers(0, 10**7),
        st.integers(0, 10**6),
    ),
    max_size=8,
)
TIERED = {
    "default": {
        "per_call": "0.00123",
        "per_second": "0.000000007",
        "per_million_tokens": {"input": [{"up_to": 5_000_000, "price": "0.33"}, {"price": "0.1"}], "output": "1.007"},
        "free": {"output": 1000},
    },
    "route:premium": {"per_call": "0.019"},
}


@settings(max_examples=examples(6, fast=2), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(calls, min_size=3, max_size=3))
@pytest.mark.parametrize("prices", [PRICES, TIERED], ids=["list", "tiers"])
def test_whatever_arrives_whenever_lines_add_up_entries_are_on_one_invoice_and_verify_passes(
    groups: Sequence[Any], prices: Any, priced: Callable[[Any], Invoices], database: Database
) -> None:
    """A group of calls arrives before each invoice; in another project, all arrive before the only one."""
    invoices, ledger = priced(prices), Ledger(database)
    late, at_once = (f"project-{next(_NUMBERS)}" for _ in range(2))
    made = []
    for number, (group, month) in enumerate(zip(groups, ("2026-10", "2026-11", "2026-12"), strict=True)):
        if group:
            ledger.add([_entry(f"{late}-{number}-{each}", late, call) for each, call in enumerate(group)])
            ledger.add([_entry(f"{at_once}-{number}-{each}", at_once, call) for each, call in enumerate(group)])
        made += _made(invoices, late, month)
    for invoice in made:
        assert sum(_cents(line.amount) for line in invoice.lines) == _cents(invoice.net)
        assert _cents(invoice.net) + sum(_cents(tax.amount) for tax in invoice.taxes) == _cents(invoice.total)
        assert (found := InvoiceVerifier(database).verify(invoice.number)).is_correct, found
    answers = [each.call_id for invoice in made for each in EntryReader(database).read(invoice.number)]
    assert len(answers) == len(set(answers))
    (only,) = _made(invoices, at_once, "2026-12") or [None]
    if only is None:
        assert made == []
    else:
        assert len(answers) == only.num_entries == sum(map(len, groups))
        assert sum(_cents(invoice.net) for invoice in made) == _cents(only.net)


_NUMBERS = count()


@pytest.fixture
def priced(database: Database) -> Callable[[Any], Invoices]:
    """Return invoices of a database with prices, on 1 January."""

    def priced(prices: Any) -> Invoices:
        books = PriceBooks(database, clock=lambda: datetime(2026, 9, 1, tzinfo=UTC))
        if not books.list():
            books.set({"currency": "EUR", "prices": prices})
            taxes = [{"name": "VAT", "percent": "7.7"}]
            InvoiceSettingsBook(database).set({"seller": SELLER, "taxes": taxes})
        return Invoices(database, clock=lambda: datetime(2027, 1, 1, tzinfo=UTC))

    return priced


def _made(invoices: Invoices, project: str, month: str) -> list[InvoiceDescription]:
    """Return the invoice; none if there is nothing to pay."""
    try:
        return [invoices.make(NewInvoice(project=project, month=month))]
    except BadRequest as error:
        if "nothing to pay" not in error.message:
            raise
        return []


def _entry(name: str, project: str, call: tuple[int, str, str, int, int]) -> Entry:
    at, route, version, tokens, micros = call
    fields = {"input_tokens": tokens, "output_tokens": tokens // 3, "replica_micros": micros}
    return entry(name, project=project, at=at, route=route, version=version, **fields)


def _cents(text: str) -> int:
    return int(text.replace(".", ""))
