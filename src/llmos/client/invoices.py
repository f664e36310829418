"""Invoices: what projects owe."""

import builtins
from collections.abc import Iterator, Mapping
from typing import Any

from llmos.client import invoice_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.invoices import (
    InvoiceDescription,
    InvoiceSettings,
    InvoiceSummary,
    InvoiceVerification,
)
from llmos.core.schemas.ledger import LedgerEntryDescription


class Invoices(Noun):
    """Invoices: what projects owe."""

    def make(self, project: str, month: str, *, currency: str | None = None) -> InvoiceDescription:
        """Make the invoice of a project and a month that is over: "2026-11". Raises Conflict if there is one."""
        return self._client._request(calls.make_invoice(project, month, currency))

    def draft(self, project: str, month: str, *, currency: str | None = None) -> InvoiceDescription:
        """Return what an invoice would be, also of a month that isn't over. Nothing is kept."""
        return self._client._request(calls.draft_invoice(project, month, currency))

    def list(self, project: str | None = None) -> builtins.list[InvoiceSummary]:
        """Return invoices and credit notes, newest first."""
        return self._client._request(calls.list_invoices(project))

    def get(self, number: str) -> InvoiceDescription:
        return self._client._request(calls.get_invoice(number))

    def page(self, number: str) -> str:
        """Return an invoice as a page in HTML, without resources from elsewhere."""
        return b"".join(self._client._download(calls.download_invoice(number, "html"))).decode()

    def pdf(self, number: str) -> bytes:
        """Return an invoice as a PDF."""
        return b"".join(self._client._download(calls.download_invoice(number, "pdf")))

    def credit(self, number: str, *, reason: str = "") -> InvoiceDescription:
        """Take an invoice back by a credit note, and return that. Raises Conflict for the second time."""
        return self._client._request(calls.credit_invoice(number, reason))

    def verify(self, number: str) -> InvoiceVerification:
        """Derive an invoice again from the ledger, and say for each line whether it is the same."""
        return self._client._request(calls.verify_invoice(number))

    def entries(self, number: str) -> Iterator[LedgerEntryDescription]:
        """Yield the entries of the ledger that an invoice is about, as they arrive."""
        lines = calls.Lines()
        for piece in self._client._download(calls.invoice_entries(number)):
            for line in lines.push(piece):
                yield calls.read_entry(line)

    def settings(self, project: str = "") -> InvoiceSettings:
        """Return what invoices say besides their lines: of the installation, or of a project."""
        return self._client._request(calls.get_settings(project))

    def configure(self, settings: Mapping[str, Any], project: str = "") -> InvoiceSettings:
        """Set what invoices say: an object with seller, buyer, taxes, due_days and note."""
        return self._client._request(calls.set_settings(settings, project))
