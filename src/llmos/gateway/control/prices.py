"""/llmos/v1/prices: what calls cost. The versions of the prices, and examples."""

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.billing.price_books import PriceBooks, example
from llmos.core.errors import PermissionDenied
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/prices", tags=["prices"])

Count = Annotated[int, Meta(ge=0, le=10**12)]
Name = Annotated[str, Meta(max_length=200)]


class PriceBooksDescription(msgspec.Struct):
    data: list[PriceBookDescription]


class PriceBookRequest(RequestObject, kw_only=True):
    currency: str
    prices: dict[str, Any]
    """By what they are for: default, route:NAME, model:NAME or model:NAME@1."""
    free: dict[str, int] = msgspec.field(default_factory=dict)
    """Units a month that cost nothing, whatever they are for: calls, seconds and the kinds of tokens."""
    valid_from: str | None = msgspec.field(default=None, name="from")
    """A date, or an instant with its zone; by default now."""


class ExampleRequest(RequestObject, kw_only=True):
    version: Name = ""
    """The version that answers, such as smollm2@1."""
    route: Name = ""
    project: Name = ""
    """By the prices of the plan that this one has. For keys of a project, by default that one."""
    plan: Name = ""
    """By the prices of this plan, whoever has it."""
    calls: Count = 1
    input: Count = 0
    cached_input: Count = 0
    output: Count = 0
    embedding: Count = 0
    rated: Count = 0
    replica_micros: Count = 0


def price_books_of(request: Request) -> PriceBooks:
    return services_of(request).billing.price_books


@router.post(
    "",
    summary="Set the prices",
    openapi_extra=openapi.body(
        PriceBookRequest, {"currency": "EUR", "prices": {"default": {"per_million_tokens": {"output": "0.60"}}}}
    ),
    responses=openapi.answers(PriceBookDescription),
)
@requires(Permission.PRICES_WRITE, "price.set")
async def set_prices(request: Request) -> Response:
    """Adds a version of all prices, from a time on. Calls before that keep theirs."""
    body = await parse_body(request, PriceBookRequest)
    document = {"currency": body.currency, "prices": body.prices, "free": body.free, "from": body.valid_from}
    add = partial(price_books_of(request).set, document, actor=caller_of(request).actor)
    return json_response(await asyncio.to_thread(add))


@router.get("", summary="List the versions of the prices", responses=openapi.answers(PriceBooksDescription))
@requires(Permission.PRICES_READ)
async def list_prices(request: Request) -> Response:
    return json_response(PriceBooksDescription(list(await asyncio.to_thread(price_books_of(request).list))))


@router.post(
    "/try",
    summary="Calculate what a call would cost",
    openapi_extra=openapi.body(ExampleRequest, {"version": "smollm2@1", "input": 1000, "output": 200}),
    responses=openapi.answers(PriceExample),
)
@requires(Permission.PRICES_READ)
async def try_prices(request: Request) -> Response:
    """By the prices that apply now. Nothing is charged."""
    body, services, own = (
        await parse_body(request, ExampleRequest),
        services_of(request),
        caller_of(request).only_project,
    )
    facts = msgspec.structs.asdict(body)
    plan = facts.pop("plan")
    if own is not None and body.project not in ("", own):
        raise PermissionDenied(f"Keys of the project {own} see its prices only. Leave `project` out.")
    facts["project"] = body.project or own or ""

    def try_out() -> PriceExample:
        if facts["project"]:
            services.projects.get(facts["project"])
        if plan:
            services.billing.plans.get(plan, project=own)
        return services.billing.price_books.try_out(example(**facts), plan=plan)

    return json_response(await asyncio.to_thread(try_out))


@router.get("/{version}", summary="Describe a version of the prices", responses=openapi.answers(PriceBookDescription))
@requires(Permission.PRICES_READ)
async def get_prices(request: Request, version: int) -> Response:
    return json_response(await asyncio.to_thread(price_books_of(request).get, version))
