"""/llmos/v1/ledger: what single calls consumed and cost, and corrections of it."""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.ledger_verification import LedgerVerification
from llmos.gateway.http import openapi
from llmos.gateway.http.moments import When, read_moment
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/ledger", tags=["ledger"])


class LedgerEntries(msgspec.Struct):
    data: list[LedgerEntryDescription]


class LedgerVerify(RequestObject, kw_only=True):
    start: When | None = msgspec.field(default=None, name="from")
    """A date, which is its beginning in UTC, or an instant with its zone. By default thirty days before `to`."""
    end: When | None = msgspec.field(default=None, name="to")
    """The same; not included. By default now."""


class EntryReversal(RequestObject, kw_only=True):
    note: Annotated[str, Meta(min_length=1, max_length=1000)]
    """The reason, for the audit log."""
    line: Annotated[int, Meta(ge=0, le=1000)] = 0
    """The index of the attempt of the call whose entry is reversed."""


@router.get("/{call_id}", summary="List the entries of an answer", responses=openapi.answers(LedgerEntries))
@requires(Permission.USAGE_READ)
async def get_entries(request: Request, call_id: str) -> Response:
    """With what it cost, and reversals. Keys of the project `owner` see those of every project."""
    caller, services = caller_of(request), services_of(request)
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    project = caller.only_project
    get = partial(services.billing.ledger.entries, call_id, project=project)
    return json_response(LedgerEntries([*await asyncio.to_thread(get)]))


@router.post(
    "/verify",
    summary="Verify the ledger",
    openapi_extra=openapi.body(LedgerVerify, {"from": "2026-11-01"}),
    responses=openapi.answers(LedgerVerification),
)
@requires(Permission.LEDGER_WRITE, "ledger.verify")
async def verify_ledger(request: Request) -> Response:
    """Compares the entries of whole days with their sums, with receipts and with reversals. `is_sound` says whether all
    agree; `problems` has the first hundred that don't."""
    body, services = await parse_body(request, LedgerVerify), services_of(request)
    start, end = read_moment(body.start, "from"), read_moment(body.end, "to")
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    await asyncio.to_thread(services.answer_sink.flush)
    return json_response(await asyncio.to_thread(services.ledger_check.run, start, end))


@router.post(
    "/{call_id}/reverse",
    summary="Take the entry of an answer back",
    openapi_extra=openapi.body(EntryReversal, {"note": "The answer was empty"}),
    responses=openapi.answers(LedgerEntryDescription),
)
@requires(Permission.LEDGER_WRITE, "ledger.reverse")
async def reverse_entry(request: Request, call_id: str) -> Response:
    """Adds an entry with the opposite numbers: no entry ever changes. 409 for the second time."""
    body, services = await parse_body(request, EntryReversal), services_of(request)
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    reverse = partial(services.billing.ledger.reverse, call_id, body.line, note=body.note)
    return json_response(await asyncio.to_thread(reverse))
