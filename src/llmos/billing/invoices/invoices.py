"""Invoices: makes, lists and takes back invoices. Each is derived from the ledger and never changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace
from sqlalchemy.orm import Session

from llmos.billing import months
from llmos.billing.invoices import queries
from llmos.billing.invoices.amounts import format_amount, negated, sum_amounts, tax_of
from llmos.billing.invoices.lines import Subject, count_entries, derive_lines
from llmos.billing.invoices.month import Month
from llmos.billing.invoices.settings import Terms, tax_percent, terms_of
from llmos.billing.invoices.tables import InvoiceRow
from llmos.billing.price_books import read_books
from llmos.billing.prices import PriceBook
from llmos.billing.queries import last_entry
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.schemas.invoices import (
    EntryRange,
    InvoiceDescription,
    InvoiceLine,
    InvoiceSummary,
    TaxLine,
    TaxRate,
)

_MAX_REASON = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class NewInvoice:
    """An invoice to make."""

    project: str
    month: str
    """2026-11, in UTC."""
    currency: str | None = None
    """None: the one that there are lines in."""
    is_draft: bool = False
    """Only show it: also for a month that isn't over."""


class Invoices:
    """Any thread may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self.database, self._clock = database, clock

    def make(self, new: NewInvoice, *, actor: str = "") -> InvoiceDescription:
        """Make the invoice of a project for a month, with whatever the ledger has up to then and no invoice has.

        Raises Conflict, which names it, if there is one already. Raises BadRequest for a month that isn't over, for
        one without anything to pay, and while it isn't known who sends the invoice.
        """
        month = Month.parse(new.month)
        if not new.is_draft and self._clock().timestamp() < month.end:
            raise BadRequest(
                f"{month} isn't over until {month.next}-01 00:00 UTC. To see the invoice so far:"
                f" llmos invoice make --project {new.project} --month {month} --draft",
                param="month",
            )
        with self.database.counting(is_durable=True) as session:
            # With the lock of those who add entries: none with a lower number becomes visible later.
            last = last_entry(session)
        with self.database.session() as session:
            draft = self._draft(session, new, month, last)
        return draft if new.is_draft else self._issue(draft, actor)

    def list(self, project: str | None = None) -> Sequence[InvoiceSummary]:
        """Return the invoices and credit notes of a project, or of all, newest first."""
        with self.database.session() as session:
            rows = queries.invoices(session, project)
            corrections = queries.corrections(session, project)
        return [_summary(row, corrections.get(row.number, "")) for row in rows]

    def get(self, number: str, *, project: str | None = None) -> InvoiceDescription:
        """Return an invoice, as it was made. `project`: only one of this project. Raises NotFound."""
        with self.database.session() as session:
            return existing(session, number, project)

    def credit(self, number: str, *, reason: str = "", actor: str = "") -> InvoiceDescription:
        """Take an invoice back by a credit note. After that, its month can have another invoice of the same entries.

        Raises NotFound, and Conflict for the second time, or for a credit note.
        """
        if len(reason) > _MAX_REASON or not reason.isprintable():
            raise BadRequest(f"`reason` is one line of at most {_MAX_REASON} characters.", param="reason")
        with self.database.transaction() as session:
            invoice = existing(session, number, None)
            if invoice.kind == "credit_note":
                raise Conflict(f"{number} is a credit note. To charge it again: llmos invoice make")
            if by := queries.corrections(session, number=number).get(number):
                raise Conflict(f"The invoice {number} was taken back already, by the credit note {by}.")
            row = queries.invoice(session, number)
            assert row is not None, "it exists"
            note = replace(
                credited(invoice), reason=reason, issued_at=self._clock(), issued_by=actor, due_on=None, note=""
            )
            return _store(session, note, row.revision)

    def _draft(self, session: Session, new: NewInvoice, month: Month, last: int) -> InvoiceDescription:
        """Return the invoice without a number."""
        books = {book.version: book for book in read_books(session)}
        currencies = self._currencies(session, new, month, books) if new.currency is None else [new.currency]
        found = [
            (Subject(project=new.project, currency=each, month=month), entries, lines)
            for each in currencies
            if (entries := self._entries(session, new, month, each, last)) is not None
            and (lines := derive_lines(session, _subject(new, each, month), entries, books))
        ]
        if not found:
            self._check_not_made(session, new, month, currencies)
            raise BadRequest(
                f"{new.project} has nothing to pay for {month}: no calls with a price. To see its usage:"
                " llmos usage --by project",
                param="month",
            )
        if len(found) > 1:
            names = " and ".join(subject.currency for subject, _, _ in found)
            raise BadRequest(
                f"{new.project} has to pay in {names}, and an invoice has one currency."
                f" Make one for each: --currency {found[0][0].currency}",
                param="currency",
            )
        subject, entries, lines = found[0]
        terms = terms_of(session, new.project)
        if not terms.seller.name and not new.is_draft:
            raise BadRequest(
                "The sender of invoices isn't set. Write `seller` with `name` and `address` into a file, and:"
                " llmos invoice configure FILE",
                param="seller",
            )
        draft = _with_terms(subject, lines, terms, self._clock())
        return replace(draft, entries=entries, num_entries=count_entries(session, subject, entries))

    def _currencies(
        self, session: Session, new: NewInvoice, month: Month, books: Mapping[int, PriceBook]
    ) -> Sequence[str]:
        """Return the currencies that there may be something to pay in: those of the prices and of the plans."""
        terms = months.read_terms(session, books, new.project, (month.start, month.end))
        plans = {term.plan.currency for term in terms if term.plan is not None}
        return sorted({book.currency for book in books.values()} | plans)

    def _entries(self, session: Session, new: NewInvoice, month: Month, currency: str, last: int) -> EntryRange | None:
        """Return which entries the invoice has; None if another invoice has them."""
        made = queries.newest_of_month(session, new.project, currency, str(month))
        if made is not None:
            is_taken_back = bool(queries.corrections(session, number=made.number))
            return read_invoice(made).entries if is_taken_back else None
        newest = queries.newest_of(session, new.project, currency)
        if newest is None:
            return EntryRange(last=last)
        if newest.period_end > month.end:
            return None
        return EntryRange(previous_month=newest.month, previous_last=newest.last_entry, last=last)

    def _check_not_made(self, session: Session, new: NewInvoice, month: Month, currencies: Sequence[str]) -> None:
        """Raises Conflict if an invoice has what this one would have."""
        for currency in currencies:
            made = queries.newest_of_month(session, new.project, currency, str(month))
            if made is not None:
                raise Conflict(
                    f"{new.project} has an invoice for {month} already: {made.number}. To make another one, take it"
                    f" back first: llmos invoice credit {made.number}",
                    param="month",
                )
            newest = queries.newest_of(session, new.project, currency)
            if newest is not None and newest.period_end > month.end:
                raise Conflict(
                    f"The invoice {newest.number} of {new.project}, for {newest.month}, includes everything up to the"
                    f" end of that month, and so the usage of {month}.",
                    param="month",
                )

    def _issue(self, draft: InvoiceDescription, actor: str) -> InvoiceDescription:
        """Give a draft its number, and keep it."""
        with self.database.transaction() as session:
            made = queries.newest_of_month(session, draft.project, draft.currency, draft.month)
            new = NewInvoice(project=draft.project, month=draft.month)
            entries = self._entries(session, new, Month.parse(draft.month), draft.currency, draft.entries.last)
            if entries != draft.entries:
                self._check_not_made(session, new, Month.parse(draft.month), [draft.currency])
                raise Conflict("Another invoice of the project was made meanwhile. Try again.")
            described = replace(draft, issued_by=actor, replaces="" if made is None else made.number)
            return _store(session, described, 0 if made is None else made.revision + 1)


def existing(session: Session, number: str, project: str | None) -> InvoiceDescription:
    """Return the invoice with a number. `project`: only one of this project. Raises NotFound."""
    row = queries.invoice(session, number) if number.isprintable() else None
    if row is None or (project is not None and row.project != project):
        raise NotFound(f"There is no invoice {number[:40]!r}. To see all: llmos invoice list")
    return read_invoice(row)


def read_invoice(row: InvoiceRow) -> InvoiceDescription:
    return msgspec.json.decode(row.document, type=InvoiceDescription)


def credited(invoice: InvoiceDescription) -> InvoiceDescription:
    """Return what takes an invoice back: the same with opposite signs, without a number and a date."""
    return replace(
        invoice,
        number="",
        kind="credit_note",
        corrects=invoice.number,
        replaces="",
        lines=[
            replace(line, quantity=negated(line.quantity), exact=negated(line.exact), amount=negated(line.amount))
            for line in invoice.lines
        ],
        net=negated(invoice.net),
        taxes=[replace(tax, amount=negated(tax.amount)) for tax in invoice.taxes],
        total=negated(invoice.total),
    )


def add_up(lines: Sequence[InvoiceLine], taxes: Sequence[TaxLine], currency: str) -> tuple[str, list[TaxLine], str]:
    """Return the net sum of lines, the taxes on it, and the total."""
    net = sum_amounts(lines, currency)
    amounts = [tax_of(net, tax_percent(TaxRate(name=tax.name, percent=tax.percent))) for tax in taxes]
    added = [replace(tax, amount=format_amount(amount, currency)) for tax, amount in zip(taxes, amounts, strict=True)]
    return format_amount(net, currency), added, format_amount(net + sum(amounts), currency)


def _subject(new: NewInvoice, currency: str, month: Month) -> Subject:
    return Subject(project=new.project, currency=currency, month=month)


def _with_terms(subject: Subject, lines: Sequence[InvoiceLine], terms: Terms, now: datetime) -> InvoiceDescription:
    rates = [TaxLine(name=tax.name, percent=tax.percent) for tax in terms.taxes]
    net, taxes, total = add_up(lines, rates, subject.currency)
    now = now.astimezone(UTC).replace(microsecond=0)
    return InvoiceDescription(
        project=subject.project,
        month=str(subject.month),
        currency=subject.currency,
        issued_at=now,
        due_on=(now + timedelta(days=terms.due_days)).date(),
        seller=terms.seller,
        buyer=terms.buyer,
        lines=[*lines],
        net=net,
        taxes=taxes,
        total=total,
        note=terms.note,
    )


def _store(session: Session, invoice: InvoiceDescription, revision: int) -> InvoiceDescription:
    """Keep an invoice under the next number. The lock of writers makes numbers without gaps."""
    assert invoice.issued_at is not None, "it is issued"
    year = invoice.issued_at.year
    sequence = queries.last_sequence(session, year) + 1
    invoice = replace(invoice, number=f"{year}-{sequence:04d}")
    row = InvoiceRow(
        number=invoice.number,
        year=year,
        sequence=sequence,
        kind=invoice.kind,
        project=invoice.project,
        currency=invoice.currency,
        month=invoice.month,
        revision=revision,
        corrects=invoice.corrects,
        period_end=Month.parse(invoice.month).end,
        last_entry=invoice.entries.last,
        issued_at=invoice.issued_at,
        document=msgspec.json.encode(invoice).decode(),
    )
    session.add(row)
    describe_action(number=invoice.number, project=invoice.project, month=invoice.month, total=invoice.total)
    return invoice


def _summary(row: InvoiceRow, corrected_by: str) -> InvoiceSummary:
    invoice = read_invoice(row)
    fields = {name: getattr(invoice, name) for name in InvoiceSummary.__struct_fields__ if name != "corrected_by"}
    return InvoiceSummary(**fields, corrected_by=corrected_by)
