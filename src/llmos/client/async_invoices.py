"""Invoices of asynchronous clients."""

import builtins
from collections.abc import AsyncIterator, Mapping
from typing import Any

from llmos.client import invoice_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.invoices import (
    InvoiceDescription,
    InvoiceSettings,
    InvoiceSummary,
    InvoiceVerification,
)
from llmos.core.schemas.ledger import LedgerEntryDescription


class AsyncInvoices(AsyncNoun):
    """Invoices: what projects owe."""

    async def make(self, project: str, month: str, *, currency: str | None = None) -> InvoiceDescription:
        """Make the invoice of a project and a month that is over: "2026-11". Raises Conflict if there is one."""
        return await self._client._request(calls.make_invoice(project, month, currency))

    async def draft(self, project: str, month: str, *, currency: str | None = None) -> InvoiceDescription:
        """Return what an invoice would be, also of a month that isn't over. Nothing is kept."""
        return await self._client._request(calls.draft_invoice(project, month, currency))

    async def list(self, project: str | None = None) -> builtins.list[InvoiceSummary]:
        """Return invoices and credit notes, newest first."""
        return await self._client._request(calls.list_invoices(project))

    async def get(self, number: str) -> InvoiceDescription:
        return await self._client._request(calls.get_invoice(number))

    async def page(self, number: str) -> str:
        """Return an invoice as a page in HTML, without resources from elsewhere."""
        return (await self._bytes(number, "html")).decode()

    async def pdf(self, number: str) -> bytes:
        """Return an invoice as a PDF."""
        return await self._bytes(number, "pdf")

    async def credit(self, number: str, *, reason: str = "") -> InvoiceDescription:
        """Take an invoice back by a credit note, and return that. Raises Conflict for the second time."""
        return await self._client._request(calls.credit_invoice(number, reason))

    async def verify(self, number: str) -> InvoiceVerification:
        """Derive an invoice again from the ledger, and say for each line whether it is the same."""
        return await self._client._request(calls.verify_invoice(number))

    async def entries(self, number: str) -> AsyncIterator[LedgerEntryDescription]:
        """Yield the entries of the ledger that an invoice is about, as they arrive."""
        lines = calls.Lines()
        async for piece in self._client._download(calls.invoice_entries(number)):
            for line in lines.push(piece):
                yield calls.read_entry(line)

    async def settings(self, project: str = "") -> InvoiceSettings:
        """Return what invoices say besides their lines: of the installation, or of a project."""
        return await self._client._request(calls.get_settings(project))

    async def configure(self, settings: Mapping[str, Any], project: str = "") -> InvoiceSettings:
        """Set what invoices say: an object with seller, buyer, taxes, due_days and note."""
        return await self._client._request(calls.set_settings(settings, project))

    async def _bytes(self, number: str, format: str) -> bytes:
        return b"".join([piece async for piece in self._client._download(calls.download_invoice(number, format))])
