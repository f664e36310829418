"""/llmos/v1/budgets: what a key, a user, a project or the installation may consume."""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.billing.budgets import DEFAULT_ALERTS, Budgets, BudgetSettings
from llmos.core.schemas.budgets import BudgetDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/budgets", tags=["budgets"])

Name = Annotated[str, Meta(max_length=512)]


class BudgetDescriptions(msgspec.Struct):
    data: list[BudgetDescription]


class BudgetRequest(RequestObject, kw_only=True):
    """Without project, key, user and each_user, it is for the whole installation."""

    project: Name = ""
    key: Name = ""
    """The id of an API key."""
    user: Name = ""
    """A user of the project, as requests name it."""
    each_user: bool = False
    """The limit applies to each user separately. With `project`, to the users of this project."""
    unit: str
    """money, tokens or requests."""
    currency: str = ""
    """The currency of a limit of money, such as EUR."""
    limit: str
    """A decimal text; for tokens and requests, a whole number."""
    per: str = "month"
    """day, month or total."""
    is_hard: bool = True
    """False: it only causes alerts."""
    alerts: list[int] = msgspec.field(default_factory=lambda: list(DEFAULT_ALERTS))
    """Percentages of the limit."""


class BudgetQuery(RequestObject, kw_only=True):
    user: str | None = None
    """For a budget with `each_user`: return only the use of this user."""


def budgets_of(request: Request) -> Budgets:
    return services_of(request).billing.budgets


@router.put(
    "/{budget}",
    summary="Set a budget",
    openapi_extra=openapi.body(BudgetRequest, {"unit": "money", "limit": "50", "currency": "EUR", "per": "month"}),
    responses=openapi.answers(BudgetDescription),
)
@requires(Permission.BUDGETS_WRITE, "budget.set")
async def set_budget(request: Request, budget: str) -> Response:
    """Adds it, or changes it. What was used in the period counts; `total` counts from now on. Owners of a project set
    budgets for its own calls, and change those that they have set."""
    body = await parse_body(request, BudgetRequest)
    settings = BudgetSettings(**msgspec.structs.asdict(body))
    caller = caller_of(request)
    change = partial(budgets_of(request).set, budget, settings, actor=caller.actor, project=caller.only_project)
    return json_response(await asyncio.to_thread(change))


@router.get("", summary="List the budgets", responses=openapi.answers(BudgetDescriptions))
@requires(Permission.BUDGETS_READ)
async def list_budgets(request: Request) -> Response:
    await asyncio.to_thread(services_of(request).billing.ledger_writer.flush)
    found = await asyncio.to_thread(budgets_of(request).list, caller_of(request).only_project)
    return json_response(BudgetDescriptions(list(found)))


@router.get(
    "/{budget}",
    summary="Describe a budget",
    openapi_extra=openapi.query(BudgetQuery),
    responses=openapi.answers(BudgetDescription),
)
@requires(Permission.BUDGETS_READ)
async def get_budget(request: Request, budget: str) -> Response:
    """With what is spent, reserved and left; of one for each user, those who have used most."""
    query = parse_query(request, BudgetQuery)
    await asyncio.to_thread(services_of(request).billing.ledger_writer.flush)
    get = partial(budgets_of(request).get, budget, user=query.user, project=caller_of(request).only_project)
    return json_response(await asyncio.to_thread(get))


@router.delete("/{budget}", summary="Remove a budget", status_code=204, responses={204: {"description": "Removed"}})
@requires(Permission.BUDGETS_WRITE, "budget.remove")
async def remove_budget(request: Request, budget: str) -> Response:
    """Remove a budget. The ledger stays unchanged. Owners of a project remove those that they have set."""
    remove = partial(budgets_of(request).remove, budget, project=caller_of(request).only_project)
    await asyncio.to_thread(remove)
    return Response(status_code=204)
