"""/llmos/v1/provider-costs and the prices of providers: what calls cost this installation at providers."""

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.billing.purchases.queries import CallFilter
from llmos.core.schemas.provider_costs import ProviderCallPage, ProviderCostReport, ProviderPriceDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.moments import When, read_moment
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1", tags=["providers"])

Name = Annotated[str, Meta(max_length=64)]


class ProviderPricesRequest(RequestObject, kw_only=True):
    currency: str
    prices: dict[str, Any]
    """By the provider's names of its models, or `default`: `per_call`, and `per_million_tokens` with `input`,
    `cached_input` and `output`."""
    valid_from: str | None = msgspec.field(default=None, name="from")
    """A date, or an instant with its zone; by default now."""


class ProviderPricesDescription(msgspec.Struct):
    data: list[ProviderPriceDescription]


class CostsQuery(RequestObject, kw_only=True):
    provider: Name | None = None
    start: When | None = msgspec.field(default=None, name="from")
    """A date, which is its beginning in UTC, or an instant with its zone. By default thirty days before `to`."""
    end: When | None = msgspec.field(default=None, name="to")
    """The same; not included. By default now."""


class CallsQuery(CostsQuery, kw_only=True):
    difference: Literal["any", "unreported", "input", "output", "cost"] | None = None
    """Only calls that the provider can't have counted right."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


@router.post(
    "/providers/{name}/prices",
    summary="Set what a provider asks",
    openapi_extra=openapi.body(
        ProviderPricesRequest,
        {"currency": "USD", "prices": {"gpt-4o-mini": {"per_million_tokens": {"input": "0.15", "output": "0.60"}}}},
    ),
    responses=openapi.answers(ProviderPriceDescription),
)
@requires(Permission.PRICES_WRITE, "provider.set_prices")
async def set_provider_prices(request: Request, name: str) -> Response:
    """Adds a version of all prices of this provider, from a time on. Calls before that keep their costs."""
    body = await parse_body(request, ProviderPricesRequest)
    document = {"currency": body.currency, "prices": body.prices, "from": body.valid_from}
    prices, actor = services_of(request).billing.provider_prices, caller_of(request).actor
    return json_response(await asyncio.to_thread(partial(prices.set, name, document, actor=actor)))


@router.get(
    "/providers/{name}/prices",
    summary="List the versions of what a provider asks",
    responses=openapi.answers(ProviderPricesDescription),
)
@requires(Permission.PROVIDERS_READ)
async def list_provider_prices(request: Request, name: str) -> Response:
    found = await asyncio.to_thread(services_of(request).billing.provider_prices.list, name)
    return json_response(ProviderPricesDescription(list(found)))


@router.get(
    "/provider-costs",
    summary="Report what calls cost at providers",
    openapi_extra=openapi.query(CostsQuery),
    responses=openapi.answers(ProviderCostReport),
)
@requires(Permission.PROVIDERS_READ)
async def get_provider_costs(request: Request) -> Response:
    """By model, in a time, which is widened to whole hours. Beside what their prices make, what providers name
    themselves, and how many calls they can't have counted right."""
    query, services = parse_query(request, CostsQuery), services_of(request)
    start, end = read_moment(query.start, "from"), read_moment(query.end, "to")
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    return json_response(await asyncio.to_thread(services.billing.provider_costs.report, query.provider, start, end))


@router.get(
    "/provider-costs/calls",
    summary="List calls at providers",
    openapi_extra=openapi.query(CallsQuery),
    responses=openapi.answers(ProviderCallPage),
)
@requires(Permission.PROVIDERS_READ)
async def list_provider_calls(request: Request) -> Response:
    """Newest first: attempts that failed and shadows, too, since a provider asks for them."""
    query, services = parse_query(request, CallsQuery), services_of(request)
    start, end = read_moment(query.start, "from"), read_moment(query.end, "to")
    wanted = CallFilter(
        provider=query.provider,
        difference=query.difference,
        start=None if start is None else int(start.timestamp()),
        end=None if end is None else int(end.timestamp()),
        limit=query.limit,
    )
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    return json_response(await asyncio.to_thread(services.billing.provider_costs.calls, wanted))
