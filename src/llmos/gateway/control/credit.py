"""/llmos/v1/credit: what projects have paid in advance. The keys of a project see their own alone."""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.billing.credit.credit import Credit
from llmos.core.errors import NotFound
from llmos.core.schemas.credit import CreditDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/credit", tags=["credit"])


class CreditDescriptions(msgspec.Struct):
    data: list[CreditDescription]


class TopUpRequest(RequestObject, kw_only=True):
    amount: str | int
    """A decimal text."""
    currency: str
    note: Annotated[str, Meta(max_length=1000)] = ""
    key: Annotated[str, Meta(max_length=100)] = ""
    """Names the top-up: the same one, sent again, adds nothing."""


class LineReversal(RequestObject, kw_only=True):
    line: str
    """The id of the top-up."""
    note: Annotated[str, Meta(max_length=1000)] = ""


def credit_of(request: Request) -> Credit:
    return services_of(request).billing.credit


@router.get("", summary="List the credit of projects", responses=openapi.answers(CreditDescriptions))
@requires(Permission.CREDIT_READ)
async def list_credit(request: Request) -> Response:
    """Without lines. Keys of the project `owner` see all, others their own."""
    caller, services = caller_of(request), services_of(request)
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    project = caller.only_project
    return json_response(CreditDescriptions([*await asyncio.to_thread(services.billing.credit.list, project)]))


@router.get("/{project}", summary="Describe the credit of a project", responses=openapi.answers(CreditDescriptions))
@requires(Permission.CREDIT_READ)
async def get_credit(request: Request, project: str) -> Response:
    """In each currency, with the newest 100 lines."""
    caller, services = caller_of(request), services_of(request)
    if not caller.is_of_installation and caller.project != project:
        raise NotFound(f"There is no project {project[:80]!r}. GET /llmos/v1/projects lists them.", param="project")
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    return json_response(CreditDescriptions([*await asyncio.to_thread(services.billing.credit.get, project)]))


@router.post(
    "/{project}",
    summary="Top up the credit of a project",
    openapi_extra=openapi.body(TopUpRequest, {"amount": "50", "currency": "EUR", "note": "Transfer 4711"}),
    responses=openapi.answers(CreditDescription),
)
@requires(Permission.CREDIT_WRITE, "credit.add")
async def add_credit(request: Request, project: str) -> Response:
    """Calls cost credit while the project's plan is prepaid."""
    body, actor = await parse_body(request, TopUpRequest), caller_of(request).actor
    add = partial(
        credit_of(request).add, project, str(body.amount), body.currency, key=body.key, note=body.note, actor=actor
    )
    return json_response(await asyncio.to_thread(add))


@router.post(
    "/{project}/reverse",
    summary="Take a top-up back",
    openapi_extra=openapi.body(LineReversal, {"line": "credit-3f…", "note": "The transfer was returned"}),
    responses=openapi.answers(CreditDescription),
)
@requires(Permission.CREDIT_WRITE, "credit.reverse")
async def reverse_credit(request: Request, project: str) -> Response:
    """By a line with the opposite amount. 409 for the second time."""
    body, actor = await parse_body(request, LineReversal), caller_of(request).actor
    reverse = partial(credit_of(request).reverse, project, body.line, note=body.note, actor=actor)
    return json_response(await asyncio.to_thread(reverse))
