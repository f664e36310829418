"""Invoices: what a project owes for a month, line by line. Amounts and quantities are decimal texts, exact."""

from datetime import date, datetime

import msgspec

from llmos.core.schemas.base import Description


class Party(Description, frozen=True, kw_only=True):
    """The sender of an invoice, or its recipient."""

    name: str = ""
    address: list[str] = msgspec.field(default_factory=list)
    """Line by line."""
    tax_id: str = ""
    contact: str = ""
    payment: str = ""
    """The seller's account."""
    reference: str = ""
    """The buyer's order or cost centre."""


class TaxRate(Description, frozen=True, kw_only=True):
    name: str = ""
    """As the invoice shows it: VAT 19 %."""
    percent: str = "0"


class InvoiceSettings(Description, frozen=True, kw_only=True):
    """The texts on invoices besides their lines: of the installation, or, in its place, of a project."""

    project: str = ""
    """Empty: of the installation."""
    seller: Party | None = None
    buyer: Party | None = None
    taxes: list[TaxRate] | None = None
    """Null: those of the installation. Empty: none."""
    due_days: int | None = None
    note: str | None = None
    """A text below the total."""
    updated_at: datetime | None = None
    updated_by: str = ""


class InvoiceLine(Description, frozen=True, kw_only=True):
    number: int = 0
    """Its place on the invoice, from 1."""
    month: str = ""
    """When it was consumed. An earlier one than the invoice's: what was stored after the invoice of that month."""
    kind: str = ""
    """usage; free: by the prices; included, allowance and fee: by the plan; prepaid: paid from credit."""
    description: str = ""
    version: str = ""
    """The version that answered, such as smollm2@1."""
    route: str = ""
    priced_by: str = ""
    """What the price is for: default, model:NAME, model:NAME@1 or route:NAME."""
    price_version: int | None = None
    plan: str = ""
    plan_version: int | None = None
    start: datetime | None = None
    """A plan or a price may be for a part of the month."""
    end: datetime | None = None
    measure: str = ""
    """What is counted: calls, seconds, input, cached_input, output, embedding or rated (tokens)."""
    above: int = 0
    """The tier of prices begins after so many units of the month."""
    quantity: str = ""
    unit: str = ""
    unit_price: str = ""
    per: int = 1
    """The price is for so many units."""
    exact: str = ""
    """The quantity by the price, before it is rounded."""
    amount: str = ""
    """Rounded once, to the minor unit of the currency."""


class TaxLine(Description, frozen=True, kw_only=True):
    name: str = ""
    percent: str = ""
    amount: str = ""


class EntryRange(Description, frozen=True, kw_only=True):
    """The entries of the ledger that an invoice has. See docs/billing.md."""

    previous_month: str = ""
    """The month of the invoice before it; empty: it is the first one."""
    previous_last: int = 0
    """The number of the last entry of the ledger when that was made."""
    last: int = 0
    """The number of the last entry when this one was made."""


class InvoiceDescription(Description, frozen=True, kw_only=True):
    number: str = ""
    """Empty: a draft."""
    kind: str = "invoice"
    """invoice, or credit_note: it takes back another one."""
    corrects: str = ""
    """Of a credit note: the number of the invoice that it takes back."""
    reason: str = ""
    """Of a credit note."""
    replaces: str = ""
    """The number of the invoice of the same entries that was taken back before."""
    project: str = ""
    month: str = ""
    """In UTC: 2026-11."""
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
    """The number of the credit note that takes it back."""


class LineCheck(Description, frozen=True, kw_only=True):
    number: int = 0
    """0: the ledger has it, the invoice doesn't."""
    description: str = ""
    is_correct: bool = False
    stated: str = ""
    """The amount on the invoice."""
    derived: str = ""
    """The amount by the ledger and the prices."""
    problem: str = ""


class InvoiceVerification(Description, frozen=True, kw_only=True):
    number: str = ""
    is_correct: bool = False
    num_entries: int = 0
    """So many entries of the ledger were read."""
    exact: str = ""
    """The sum of the lines before they are rounded."""
    lines: list[LineCheck] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)
    """What is wrong besides lines: sums, taxes, the number of entries."""
