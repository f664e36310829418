"""/llmos/v1/plans: how projects pay. The keys of a project see the plans that it has or had, others' not."""

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.billing.plans.plans import Plans
from llmos.core.schemas.plans import PlanAssignment, PlanDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/plans", tags=["plans"])


class PlanDescriptions(msgspec.Struct):
    data: list[PlanDescription]


class PlanRequest(RequestObject, kw_only=True):
    name: str
    kind: Literal["pay_as_you_go", "prepaid", "subscription"]
    currency: str
    monthly_fee: str | int | None = None
    """The monthly fee of a subscription, as a decimal text."""
    included: dict[str, Any] | None = None
    """The usage that the fee includes each month: spend, calls, tokens, seconds and kinds of tokens."""
    prices: dict[str, Any] | None = None
    """Prices that replace the general ones, in the format of a price book."""
    limits: list[dict[str, Any]] | None = None
    """Such as {"spend": "100", "per": "month", "hard": true}; with spend, tokens or calls."""
    alerts: list[int] | None = None
    """Percentages at which webhooks are told; by default 50, 80 and 100."""
    valid_from: str | None = msgspec.field(default=None, name="from")
    """A date, or an instant with its zone; by default now."""


class VersionQuery(RequestObject, kw_only=True):
    version: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    """By default the one that applies now."""


class AssignmentRequest(RequestObject, kw_only=True):
    project: str
    valid_from: str | None = msgspec.field(default=None, name="from")
    """A date, or an instant with its zone; by default now."""


def plans_of(request: Request) -> Plans:
    return services_of(request).billing.plans


@router.post(
    "",
    summary="Set a plan",
    openapi_extra=openapi.body(
        PlanRequest,
        {"name": "team", "kind": "subscription", "currency": "EUR", "monthly_fee": "20", "included": {"spend": "20"}},
    ),
    responses=openapi.answers(PlanDescription),
)
@requires(Permission.PLANS_WRITE, "plan.set")
async def set_plan(request: Request) -> Response:
    """Adds a version of the plan, from a time on. Projects with the plan have the new version from then on."""
    body = await parse_body(request, PlanRequest)
    given = {field.encode_name: getattr(body, field.name) for field in msgspec.structs.fields(PlanRequest)}
    document = {name: value for name, value in given.items() if value is not None}
    add = partial(plans_of(request).set, document, actor=caller_of(request).actor)
    return json_response(await asyncio.to_thread(add))


@router.get("", summary="List the plans", responses=openapi.answers(PlanDescriptions))
@requires(Permission.PLANS_READ)
async def list_plans(request: Request) -> Response:
    """The newest version of each. Keys of the project `owner` see all, others those of their own project."""
    found = await asyncio.to_thread(plans_of(request).list, caller_of(request).only_project)
    return json_response(PlanDescriptions(list(found)))


@router.get(
    "/{name}",
    summary="Describe a plan",
    openapi_extra=openapi.query(VersionQuery),
    responses=openapi.answers(PlanDescription),
)
@requires(Permission.PLANS_READ)
async def get_plan(request: Request, name: str) -> Response:
    """With the projects that have it, what they have used of its limits, and the alerts of this period."""
    version, services = parse_query(request, VersionQuery).version, services_of(request)
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    get = partial(services.billing.plans.get, name, version, project=caller_of(request).only_project)
    return json_response(await asyncio.to_thread(get))


@router.post(
    "/{name}/assign",
    summary="Give a project a plan",
    openapi_extra=openapi.body(AssignmentRequest, {"project": "acme"}),
    responses=openapi.answers(PlanAssignment),
)
@requires(Permission.PLANS_WRITE, "plan.assign")
async def assign_plan(request: Request, name: str) -> Response:
    """From a time on, in place of the one that it has."""
    return await _assign(request, name)


@router.post(
    "/unassign",
    summary="Take the plan of a project away",
    openapi_extra=openapi.body(AssignmentRequest, {"project": "acme"}),
    responses=openapi.answers(PlanAssignment),
)
@requires(Permission.PLANS_WRITE, "plan.unassign")
async def unassign_plan(request: Request) -> Response:
    """From a time on. Its calls are charged as they go then."""
    return await _assign(request, None)


async def _assign(request: Request, name: str | None) -> Response:
    body = await parse_body(request, AssignmentRequest)
    assign = partial(
        plans_of(request).assign, name, body.project, valid_from=body.valid_from, actor=caller_of(request).actor
    )
    return json_response(await asyncio.to_thread(assign))
