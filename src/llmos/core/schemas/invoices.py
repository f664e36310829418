"""Invoices of a project for a month, line by line. Amounts and quantities are exact decimal texts."""

from datetime import date, datetime

import msgspec

from llmos.core.schemas.base import Description


class Party(Description, frozen=True, kw_only=True):
    """The sender of an invoice, or its recipient."""

    name: str = ""
    address: list[str] = msgspec.field(default_factory=list)
    """The lines of the postal address."""
    tax_id: str = ""
    contact: str = ""
    payment: str = ""
    """The payment instructions, such as the seller's bank account."""
    reference: str = ""
    """The buyer's order or cost centre."""


class TaxRate(Description, frozen=True, kw_only=True):
    name: str = ""
    """The text on the invoice, such as VAT 19 %."""
    percent: str = "0"


class InvoiceSettings(Description, frozen=True, kw_only=True):
    """The parties, taxes and texts on invoices. A project's settings override the installation's."""

    project: str = ""
    """The project that the settings are for; empty for the installation."""
    seller: Party | None = None
    buyer: Party | None = None
    taxes: list[TaxRate] | None = None
    """The taxes. Null: the installation's taxes apply. Empty: no taxes."""
    due_days: int | None = None
    note: str | None = None
    """A text below the total."""
    updated_at: datetime | None = None
    updated_by: str = ""


class InvoiceLine(Description, frozen=True, kw_only=True):
    number: int = 0
    """The position on the invoice, from 1."""
    month: str = ""
    """The month of the usage. Usage that was stored after the invoice of its month is on a later invoice."""
    kind: str = ""
    """usage, free (free by the prices), included, allowance and fee (by the plan), or prepaid (paid from credit)."""
    description: str = ""
    version: str = ""
    """The version that answered, such as smollm2@1."""
    route: str = ""
    priced_by: str = ""
    """The key of the price in the price book: default, model:NAME, model:NAME@1 or route:NAME."""
    price_version: int | None = None
    plan: str = ""
    plan_version: int | None = None
    start: datetime | None = None
    """The beginning of the line's period. A plan or a price may apply to a part of the month."""
    end: datetime | None = None
    measure: str = ""
    """The unit of the usage: calls, seconds, or the tokens input, cached_input, output, embedding or rated."""
    above: int = 0
    """The number of units in the month after which this tier of the price begins."""
    quantity: str = ""
    unit: str = ""
    unit_price: str = ""
    per: int = 1
    """The number of units that `unit_price` is for."""
    exact: str = ""
    """The quantity times the price, before rounding."""
    amount: str = ""
    """The amount, rounded once to the minor unit of the currency."""


class TaxLine(Description, frozen=True, kw_only=True):
    name: str = ""
    percent: str = ""
    amount: str = ""


class EntryRange(Description, frozen=True, kw_only=True):
    """The entries of the ledger that an invoice covers. See docs/billing.md."""

    previous_month: str = ""
    """The month of the previous invoice; empty for the first invoice."""
    previous_last: int = 0
    """The number of the last entry of the ledger when the previous invoice was made."""
    last: int = 0
    """The number of the last entry of the ledger when this invoice was made."""


class InvoiceDescription(Description, frozen=True, kw_only=True):
    number: str = ""
    """The number of the invoice; empty for a draft."""
    kind: str = "invoice"
    """invoice, or credit_note (which cancels an invoice)."""
    corrects: str = ""
    """For a credit note: the number of the invoice that it cancels."""
    reason: str = ""
    """For a credit note: the reason for the cancellation."""
    replaces: str = ""
    """The number of the cancelled invoice that this one replaces."""
    project: str = ""
    month: str = ""
    """The month in UTC, such as 2026-11."""
    currency: str = ""
    issued_at: datetime | None = None
    issued_by: str = ""
    due_on: date | None = None
    seller: Party = msgspec.field(default_factory=Party)
    buyer: Party = msgspec.field(default_factory=Party)
    lines: list[InvoiceLine] = msgspec.field(default_factory=list)
    net: str = ""
    """The sum of the lines' amounts."""
    taxes: list[TaxLine] = msgspec.field(default_factory=list)
    total: str = ""
    note: str = ""
    num_entries: int = 0
    entries: EntryRange = msgspec.field(default_factory=EntryRange)


class InvoiceSummary(Description, frozen=True, kw_only=True):
    number: str = ""
    kind: str = ""
    project: str = ""
    month: str = ""
    currency: str = ""
    net: str = ""
    total: str = ""
    issued_at: datetime | None = None
    due_on: date | None = None
    corrects: str = ""
    corrected_by: str = ""
    """The number of the credit note that cancels it; empty if there is none."""


class LineCheck(Description, frozen=True, kw_only=True):
    number: int = 0
    """The position on the invoice; 0 for a line that the ledger yields and the invoice lacks."""
    description: str = ""
    is_correct: bool = False
    stated: str = ""
    """The amount on the invoice."""
    derived: str = ""
    """The amount that follows from the ledger and the prices."""
    problem: str = ""


class InvoiceVerification(Description, frozen=True, kw_only=True):
    number: str = ""
    is_correct: bool = False
    num_entries: int = 0
    """The number of entries of the ledger that were read."""
    exact: str = ""
    """The sum of the lines before they are rounded."""
    lines: list[LineCheck] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)
    """Errors outside the lines: in sums, taxes or the number of entries."""
