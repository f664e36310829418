"""The requests of invoices."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from llmos.client.call import Call, DownloadCall, read_each, read_one
from llmos.core.schemas.base import read_description
from llmos.core.schemas.invoices import (
    InvoiceDescription,
    InvoiceSettings,
    InvoiceSummary,
    InvoiceVerification,
)
from llmos.core.schemas.ledger import LedgerEntryDescription

_PATH = "/llmos/v1/invoices"


def make_invoice(project: str, month: str, currency: str | None) -> Call[InvoiceDescription]:
    body = {"project": project, "month": month, "currency": currency}
    return Call(method="POST", path=_PATH, body=body, read=read_one(InvoiceDescription))


def draft_invoice(project: str, month: str, currency: str | None) -> Call[InvoiceDescription]:
    fields = {"project": project, "month": month} | ({} if currency is None else {"currency": currency})
    return Call(method="GET", path=f"{_PATH}/draft?{urlencode(fields)}", read=read_one(InvoiceDescription))


def list_invoices(project: str | None) -> Call[list[InvoiceSummary]]:
    return Call(method="GET", path=_PATH + _query(project), read=read_each(InvoiceSummary))


def get_invoice(number: str) -> Call[InvoiceDescription]:
    return Call(method="GET", path=_of(number), read=read_one(InvoiceDescription))


def download_invoice(number: str, format: str) -> DownloadCall:
    return DownloadCall(path=f"{_of(number)}?format={format}")


def credit_invoice(number: str, reason: str) -> Call[InvoiceDescription]:
    return Call(method="POST", path=_of(number, "credit"), body={"reason": reason}, read=read_one(InvoiceDescription))


def verify_invoice(number: str) -> Call[InvoiceVerification]:
    return Call(method="GET", path=_of(number, "verification"), read=read_one(InvoiceVerification))


def invoice_entries(number: str) -> DownloadCall:
    return DownloadCall(path=_of(number, "entries"))


def read_entry(line: bytes) -> LedgerEntryDescription:
    return read_description(LedgerEntryDescription, msgspec.json.decode(line))


def get_settings(project: str) -> Call[InvoiceSettings]:
    return Call(method="GET", path=f"{_PATH}/settings{_query(project or None)}", read=read_one(InvoiceSettings))


def set_settings(settings: Mapping[str, Any], project: str) -> Call[InvoiceSettings]:
    path = f"{_PATH}/settings{_query(project or None)}"
    return Call(method="PUT", path=path, body=dict(settings), read=read_one(InvoiceSettings))


class Lines:
    """Cuts bytes that arrive in pieces into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, piece: bytes) -> list[bytes]:
        """Return the lines that are complete with a piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [line for line in lines if line]


def _query(project: str | None) -> str:
    return "" if project is None else f"?{urlencode({'project': project})}"


def _of(number: str, what: str = "") -> str:
    return f"{_PATH}/{quote(number, safe='')}" + (f"/{what}" if what else "")
