"""The wording of an invoice's page and PDF, in one place."""

from collections.abc import Mapping, Sequence

from llmos.core.schemas.invoices import InvoiceDescription, InvoiceLine, Party


def title_of(invoice: InvoiceDescription) -> str:
    if invoice.kind == "credit_note":
        return f"Credit note {invoice.number}"
    return f"Invoice {invoice.number}" if invoice.number else "Draft of an invoice"


def facts_of(invoice: InvoiceDescription) -> Mapping[str, str]:
    """Return the facts beside the addresses; empty ones are left out."""
    facts = {
        "Number": invoice.number or "none: this is a draft",
        "Takes back": f"invoice {invoice.corrects}" if invoice.corrects else "",
        "Reason": invoice.reason,
        "Replaces": f"invoice {invoice.replaces}" if invoice.replaces else "",
        "Date": invoice.issued_at.date().isoformat() if invoice.issued_at else "",
        "Due": invoice.due_on.isoformat() if invoice.due_on else "",
        "Month of service": f"{invoice.month} (UTC)",
        "Project": invoice.project,
        "Reference": invoice.buyer.reference,
    }
    return {name: value for name, value in facts.items() if value}


def party_lines(party: Party) -> Sequence[str]:
    """Return a name and an address, line by line."""
    tax_id = f"Tax ID: {party.tax_id}" if party.tax_id else ""
    return [line for line in (party.name, *party.address, tax_id, party.contact) if line]


def quantity_of(line: InvoiceLine) -> str:
    """1234567 tokens -> "1,234,567 tokens"."""
    if not line.unit:
        return ""
    whole, point, fraction = line.quantity.partition(".")
    return f"{grouped(whole)}{point}{fraction} {line.unit}"


def price_of(line: InvoiceLine) -> str:
    """Return the price of a unit, such as "1.5 per million"."""
    if not line.unit or line.kind != "usage":
        return ""
    return f"{line.unit_price} per million" if line.per > 1 else line.unit_price


def money(text: str) -> str:
    """-1234567.80 -> "-1,234,567.80"."""
    whole, point, fraction = text.partition(".")
    return f"{grouped(whole)}{point}{fraction}"


def grouped(whole: str) -> str:
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}"


def remark_of(invoice: InvoiceDescription) -> str:
    months = {line.month for line in invoice.lines} - {invoice.month}
    late = (
        f" Lines of {', '.join(sorted(months))} are for calls that were stored after the invoice of their month."
        if months
        else ""
    )
    return (
        f"Each line is derived from the {invoice.num_entries:,} entries of the ledger that this invoice has, and is"
        f" rounded once.{late}"
    )
