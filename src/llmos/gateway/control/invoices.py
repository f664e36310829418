"""/llmos/v1/invoices: what projects owe. The keys of a project see their own invoices, and make none."""

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta
from starlette.responses import StreamingResponse

from llmos.billing.invoices.entries import EntryReader
from llmos.billing.invoices.invoices import NewInvoice
from llmos.billing.invoices.page import invoice_page
from llmos.billing.invoices.pdf import invoice_pdf
from llmos.billing.invoices.verification import InvoiceVerifier
from llmos.core.errors import NotFound
from llmos.core.invoice_csv import entry_lines
from llmos.core.schemas.invoices import (
    InvoiceDescription,
    InvoiceSettings,
    InvoiceSummary,
    InvoiceVerification,
)
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.accepting import accepted_format
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.pieces import joined
from llmos.gateway.http.replies import caller_of, json_response, page_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/invoices", tags=["invoices"])

Project = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=500)]

_INVOICE_TYPES = {"json": "application/json", "html": "text/html", "pdf": "application/pdf"}
_ENTRY_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv"}

_INVOICE = openapi.answers(InvoiceDescription)
_INVOICE[200]["content"] |= {"text/html": {"schema": {"type": "string"}}, "application/pdf": {}}
_ENTRIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "One entry on each line", "content": {"application/jsonl": {}, "text/csv": {}}}
}
_SETTINGS = {
    "seller": {"name": "Example Ltd", "address": ["1 Example Street", "London"]},
    "taxes": [{"name": "VAT 20 %", "percent": "20"}],
}


class InvoiceSummaries(msgspec.Struct):
    data: list[InvoiceSummary]


class InvoiceRequest(RequestObject, kw_only=True):
    project: Project
    month: Text
    """In UTC: 2026-11."""
    currency: Text | None = None
    """By default the one that there is something to pay in."""


class DraftQuery(InvoiceRequest, kw_only=True):
    format: Literal["json", "html", "pdf"] | None = None
    """By default what the header Accept asks for, else json."""


class FormatQuery(RequestObject, kw_only=True):
    format: Literal["json", "html", "pdf"] | None = None
    """By default what the header Accept asks for, else json."""


class EntriesQuery(RequestObject, kw_only=True):
    format: Literal["jsonl", "csv"] | None = None
    """By default what the header Accept asks for, else jsonl."""


class ProjectQuery(RequestObject, kw_only=True):
    project: Project | None = None


class CreditRequest(RequestObject, kw_only=True):
    reason: Text = ""


class SettingsRequest(RequestObject, kw_only=True):
    seller: dict[str, Any] | None = None
    """With name, and if need be address (a list of lines), tax_id, contact and payment."""
    buyer: dict[str, Any] | None = None
    """The same, with reference."""
    taxes: list[dict[str, Any]] | None = None
    """Each with name and percent, a decimal text."""
    due_days: int | None = None
    note: str | None = None
    """A text below the total."""


@router.post(
    "",
    summary="Make an invoice",
    openapi_extra=openapi.body(InvoiceRequest, {"project": "acme", "month": "2026-11"}),
    responses=openapi.answers(InvoiceDescription),
)
@requires(Permission.INVOICES_WRITE, "invoice.make")
async def make_invoice(request: Request) -> Response:
    """Make the invoice of a project and a month that is over. 409, which names it, if there is one already."""
    body, services = await parse_body(request, InvoiceRequest), services_of(request)
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    new = NewInvoice(project=body.project, month=body.month, currency=body.currency)
    make = partial(services.billing.invoices.make, new, actor=caller_of(request).actor)
    return json_response(await asyncio.to_thread(make))


@router.get(
    "", summary="List invoices", openapi_extra=openapi.query(ProjectQuery), responses=openapi.answers(InvoiceSummaries)
)
@requires(Permission.INVOICES_READ)
async def list_invoices(request: Request) -> Response:
    """And credit notes, newest first. Keys of the project `owner` see all, others their own."""
    project = caller_of(request).only_project
    asked = parse_query(request, ProjectQuery).project
    if project is not None and asked not in (None, project):
        return json_response(InvoiceSummaries([]))
    found = await asyncio.to_thread(services_of(request).billing.invoices.list, project or asked)
    return json_response(InvoiceSummaries([*found]))


@router.get(
    "/draft", summary="Show what an invoice would be", openapi_extra=openapi.query(DraftQuery), responses=_INVOICE
)
@requires(Permission.INVOICES_READ)
async def draft_invoice(request: Request) -> Response:
    """Also of a month that isn't over. Nothing is kept."""
    query, services, own = parse_query(request, DraftQuery), services_of(request), caller_of(request).only_project
    if own is not None and query.project != own:
        raise NotFound(f"There is no project {query.project!r}. GET /llmos/v1/projects lists them.", param="project")
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    new = NewInvoice(project=query.project, month=query.month, currency=query.currency, is_draft=True)
    return await _invoice_response(request, await asyncio.to_thread(services.billing.invoices.make, new), query.format)


@router.get(
    "/settings",
    summary="Show what invoices say",
    openapi_extra=openapi.query(ProjectQuery),
    responses=openapi.answers(InvoiceSettings),
)
@requires(Permission.INVOICES_WRITE)
async def get_invoice_settings(request: Request) -> Response:
    """Besides their lines: of the installation, or of a project, whose own take the place of those."""
    project = parse_query(request, ProjectQuery).project or ""
    return json_response(await asyncio.to_thread(services_of(request).billing.invoice_settings.get, project))


@router.put(
    "/settings",
    summary="Set what invoices say",
    openapi_extra=openapi.query(ProjectQuery) | openapi.body(SettingsRequest, _SETTINGS),
    responses=openapi.answers(InvoiceSettings),
)
@requires(Permission.INVOICES_WRITE, "invoice.configure")
async def set_invoice_settings(request: Request) -> Response:
    """Set the texts on the invoices of the installation, or of a project. Invoices that there are don't change."""
    project = parse_query(request, ProjectQuery).project or ""
    body, services = await parse_body(request, SettingsRequest), services_of(request)
    document = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
    change = partial(services.billing.invoice_settings.set, document, project=project, actor=caller_of(request).actor)
    return json_response(await asyncio.to_thread(change))


@router.get("/{number}", summary="Show an invoice", openapi_extra=openapi.query(FormatQuery), responses=_INVOICE)
@requires(Permission.INVOICES_READ)
async def get_invoice(request: Request, number: str) -> Response:
    """As it was made: as JSON, as a page (`format=html`), or as a PDF."""
    get = partial(services_of(request).billing.invoices.get, number, project=caller_of(request).only_project)
    asked = parse_query(request, FormatQuery).format
    return await _invoice_response(request, await asyncio.to_thread(get), asked)


@router.post(
    "/{number}/credit",
    summary="Take an invoice back",
    openapi_extra=openapi.body(CreditRequest, {"reason": "Wrong address"}),
    responses=openapi.answers(InvoiceDescription),
)
@requires(Permission.INVOICES_WRITE, "invoice.credit")
async def credit_invoice(request: Request, number: str) -> Response:
    """By a credit note, after which its month can have another invoice. 409 for the second time."""
    body = await parse_body(request, CreditRequest)
    credit = partial(
        services_of(request).billing.invoices.credit, number, reason=body.reason, actor=caller_of(request).actor
    )
    return json_response(await asyncio.to_thread(credit))


@router.get("/{number}/verification", summary="Verify an invoice", responses=openapi.answers(InvoiceVerification))
@requires(Permission.INVOICES_READ)
async def verify_invoice(request: Request, number: str) -> Response:
    """Derives every line again from the entries of the ledger, and compares."""
    verifier = InvoiceVerifier(services_of(request).billing.invoices.database)
    return json_response(
        await asyncio.to_thread(partial(verifier.verify, number, project=caller_of(request).only_project))
    )


@router.get(
    "/{number}/entries",
    summary="List the entries of an invoice",
    response_class=Response,
    openapi_extra=openapi.query(EntriesQuery),
    responses=_ENTRIES,
)
@requires(Permission.INVOICES_READ)
async def get_invoice_entries(request: Request, number: str) -> Response:
    """Every answer that it is about, with its exact cost. A stream without its last chunk has failed."""
    query, reader = parse_query(request, EntriesQuery), EntryReader(services_of(request).billing.invoices.database)
    entries = await asyncio.to_thread(partial(reader.read, number, project=caller_of(request).only_project))
    format = accepted_format(request, _ENTRY_TYPES, asked=query.format)
    lines = entry_lines(entries) if format == "csv" else _json_lines(entries)
    pieces = joined(line.encode() for line in lines)
    first = await asyncio.to_thread(next, pieces, b"")  # An error of the first entries is an answer of its own.
    headers = {"Content-Disposition": f'attachment; filename="invoice-{number}.{format}"', "Vary": "Accept"}
    return StreamingResponse(chain([first], pieces), media_type=_ENTRY_TYPES[format], headers=headers)


async def _invoice_response(request: Request, invoice: InvoiceDescription, asked: str | None) -> Response:
    format = accepted_format(request, _INVOICE_TYPES, asked=asked)
    if format == "html":
        reply = page_response(invoice_page(invoice))
    elif format == "pdf":
        reply = Response(await asyncio.to_thread(invoice_pdf, invoice), media_type=_INVOICE_TYPES["pdf"])
    else:
        reply = json_response(invoice)
    reply.headers["Vary"] = "Accept"
    return reply


def _json_lines(entries: Iterable[LedgerEntryDescription]) -> Iterator[str]:
    return (msgspec.json.encode(entry).decode() + "\n" for entry in entries)
