"""/llmos/v1/rollouts: Versions that take over a Route step by step, with automatic rollback."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from msgspec import Meta

from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.deployments.descriptions import describe_rollout, describe_rollout_event
from llmos.deployments.rollouts.cases import read_cases
from llmos.deployments.rollouts.gates import DEFAULT_GATE
from llmos.deployments.rollouts.rollout import DEFAULT_MIN_CALLS, DEFAULT_STEPS, RolloutPlan
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1", tags=["rollouts"])

RolloutId = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""The numbers that the database's column can hold."""


class Promotion(RequestObject, kw_only=True):
    version: str
    """The reference of the Version."""
    route: str
    steps: list[float] = msgspec.field(default_factory=lambda: list(DEFAULT_STEPS))
    """Percents of the Route's calls, rising to 100."""
    gate: str = DEFAULT_GATE
    """The condition of each step, such as `error_rate <= 1% and p95_first_token <= 1.5x`."""
    min_calls: int = DEFAULT_MIN_CALLS
    """The calls that each step needs before it is judged."""
    max_hold_seconds: int | None = None
    """A step that can't be judged within this time is rolled back."""
    cases: Annotated[list[dict[str, Any]], Meta(max_length=500)] = msgspec.field(default_factory=list)
    """Prompts with what a right answer contains, for the gate's `score`."""
    force: bool = False
    """Promote it even if its card fails a limit. The deployment's history records this."""


class RolloutsQuery(RequestObject, kw_only=True):
    route: str | None = None


class RolloutDescriptions(msgspec.Struct):
    data: list[RolloutDescription]


class RolloutHistory(msgspec.Struct):
    data: list[RolloutEventDescription]


@router.get(
    "/rollouts",
    summary="List the Rollouts",
    openapi_extra=openapi.query(RolloutsQuery),
    responses=openapi.answers(RolloutDescriptions),
)
@requires(Permission.ROLLOUTS_READ)
async def list_rollouts(request: Request) -> Response:
    """Newest first. `?route=NAME`: those of one Route."""
    query = parse_query(request, RolloutsQuery)
    found = await asyncio.to_thread(services_of(request).rollouts.list, query.route)
    return json_response(RolloutDescriptions([describe_rollout(rollout) for rollout in found]))


@router.post(
    "/rollouts",
    summary="Promote a Version on a Route",
    openapi_extra=openapi.body(
        Promotion,
        {"version": "smollm2@2", "route": "dialogue", "steps": [5, 25, 100], "gate": "error_rate <= 1%"},
    ),
    responses=openapi.answers(RolloutDescription),
)
@requires(Permission.ROLLOUTS_WRITE, "rollout.create")
async def promote(request: Request) -> Response:
    """The Version is loaded beside the current one and tries the cases. Then it gets more calls in each step, while the
    gate's condition holds."""
    body = await parse_body(request, Promotion)
    plan = RolloutPlan(
        steps=body.steps,
        gate=body.gate,
        min_calls=body.min_calls,
        max_hold_seconds=body.max_hold_seconds,
        cases=read_cases(body.cases),
    )
    rollout = await asyncio.to_thread(
        services_of(request).rollouts.begin,
        body.version,
        body.route,
        plan,
        force=body.force,
        actor=caller_of(request).actor,
    )
    return json_response(describe_rollout(rollout))


@router.get("/rollouts/{id}", summary="Describe a Rollout", responses=openapi.answers(RolloutDescription))
@requires(Permission.ROLLOUTS_READ)
async def get_rollout(request: Request, id: RolloutId) -> Response:
    return json_response(describe_rollout(await asyncio.to_thread(services_of(request).rollouts.get, id)))


@router.get("/rollouts/{id}/history", summary="List the events of a Rollout", responses=openapi.answers(RolloutHistory))
@requires(Permission.ROLLOUTS_READ)
async def get_rollout_history(request: Request, id: RolloutId) -> Response:
    events = await asyncio.to_thread(services_of(request).rollouts.history, id)
    return json_response(RolloutHistory([describe_rollout_event(event) for event in events]))


@router.delete(
    "/routes/{name:path}/rollout",
    summary="Roll back the last Rollout of a Route",
    responses=openapi.answers(RolloutDescription),
)
@requires(Permission.ROLLOUTS_WRITE, "rollout.roll_back")
async def roll_back(request: Request, name: str) -> Response:
    """Restores the weights from before the Rollout, whether it still runs or has finished."""
    rollouts = services_of(request).rollouts
    rollout = await asyncio.to_thread(rollouts.roll_back_route, name, actor=caller_of(request).actor)
    return json_response(describe_rollout(rollout))
