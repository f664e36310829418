"""/llmos/v1/routes: what callers may ask for, what answers, and what became of their calls."""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import ClassVar

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.core.schemas.routes import (
    RouteDescription,
    RouteEvidence,
    RouteMove,
    ShadowEvidence,
    TargetEvidence,
)
from llmos.deployments.descriptions import describe_move, describe_route
from llmos.deployments.routing import route as deployed
from llmos.deployments.routing.route import Route, sticky_of
from llmos.deployments.targets import MAX_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import Services, services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/routes", tags=["routes"])


class WeightedTarget(RequestObject, kw_only=True):
    target: str
    """The reference of a model, or remote:PROVIDER/MODEL."""
    percent: float
    """Of the calls. Those of all targets come to 100."""


class ShadowTarget(RequestObject, kw_only=True):
    target: str
    percent: float = 100.0
    """Of the calls, those that it runs besides."""


class RouteDescriptions(msgspec.Struct):
    data: list[RouteDescription]


class RouteRequest(RequestObject, kw_only=True):
    """`target`, or `targets`. What isn't given is as if it had never been."""

    target: str | None = None
    """The reference of a model, or remote:PROVIDER/MODEL: it gets all calls."""
    targets: list[WeightedTarget] = msgspec.field(default_factory=list)
    fallbacks: list[str] = msgspec.field(default_factory=list)
    """Tried in this order where a target fails before it has said anything."""
    shadow: ShadowTarget | None = None
    sticky: str = "user"
    """user: who names the same `user` meets the same target. caller: whoever comes with the same key does. none."""
    timeout_seconds: float | None = None
    """How long a target may take to its first token, or to a whole answer that isn't streamed."""
    reason: str | None = None
    """Why, for the history."""

    lists: ClassVar = {"targets": WeightedTarget}
    objects: ClassVar = {"shadow": ShadowTarget}

    def percent_of(self) -> dict[str, float]:
        """Raises BadRequest where it isn't said once what answers."""
        if (self.target is None) == (not self.targets):
            what = "are both given: send one of them" if self.targets else "are both missing: send one of them"
            raise BadRequest(f"`target` and `targets` {what}.", param="target")
        return {self.target: 100.0} if self.target is not None else percents(self.targets)


class WeightsRequest(RequestObject, kw_only=True):
    targets: list[WeightedTarget]
    reason: str
    """Why, for the history."""

    lists: ClassVar = {"targets": WeightedTarget}


class RouteMoves(msgspec.Struct):
    data: list[RouteMove]


class EvidenceQuery(RequestObject, kw_only=True):
    since: datetime | None = None
    """A moment with its zone, such as 2026-03-03T12:00:00Z."""


@router.get("", summary="List the Routes", responses=openapi.answers(RouteDescriptions))
@requires(Permission.ROUTES_READ)
async def list_routes(request: Request) -> Response:
    routes = services_of(request).routes

    def read() -> list[RouteDescription]:
        return [describe_route(routes, route) for route in routes.list()]

    return json_response(RouteDescriptions(await asyncio.to_thread(read)))


@router.get("/{name}", summary="Say where a Route leads", responses=openapi.answers(RouteDescription))
@requires(Permission.ROUTES_READ)
async def get_route(request: Request, name: str) -> Response:
    route = await asyncio.to_thread(services_of(request).routes.get, name)
    return json_response(await _described(request, route))


@router.put(
    "/{name}",
    summary="Say what answers to a name",
    openapi_extra=openapi.body(RouteRequest, {"target": "smollm2"}),
    responses=openapi.answers(RouteDescription),
)
@requires(Permission.ROUTES_WRITE)
async def set_route(request: Request, name: str) -> Response:
    """Targets by weight, fallbacks, a shadow. What the Route was before is in its history."""
    asked = await parse_body(request, RouteRequest)
    shadow = None if asked.shadow is None else deployed.Shadow(asked.shadow.target, asked.shadow.percent)
    route = await asyncio.to_thread(
        services_of(request).routes.set,
        name,
        asked.percent_of(),
        fallbacks=asked.fallbacks,
        shadow=shadow,
        sticky=sticky_of(asked.sticky),
        timeout_seconds=asked.timeout_seconds,
        reason=asked.reason,
        actor=caller_of(request).actor,
    )
    return json_response(await _described(request, route))


@router.put(
    "/{name}/weights",
    summary="Share a Route's calls out anew",
    openapi_extra=openapi.body(WeightsRequest, {"targets": [{"target": "smollm2", "percent": 100}], "reason": "…"}),
    responses=openapi.answers(RouteDescription),
)
@requires(Permission.ROUTES_WRITE)
async def set_weights(request: Request, name: str) -> Response:
    """All at once; fallbacks, shadow and the rest stay as they are."""
    asked = await parse_body(request, WeightsRequest)
    routes, shares = services_of(request).routes, percents(asked.targets)
    route = await asyncio.to_thread(routes.set_weights, name, shares, asked.reason, actor=caller_of(request).actor)
    return json_response(await _described(request, route))


@router.get("/{name}/history", summary="Say what a Route was, and why", responses=openapi.answers(RouteMoves))
@requires(Permission.ROUTES_READ)
async def get_route_history(request: Request, name: str) -> Response:
    """The newest move first. That of a Route that was removed is kept."""
    moves = await asyncio.to_thread(services_of(request).routes.history, name)
    return json_response(RouteMoves([describe_move(move) for move in moves]))


@router.get("/{name}/evidence", summary="Say what became of a Route's calls", responses=openapi.answers(RouteEvidence))
@requires(Permission.ROUTES_READ)
async def get_route_evidence(request: Request, name: str) -> Response:
    """By target, and how the shadow's answers compare. `?since=` begins the window."""
    services, asked = services_of(request), parse_query(request, EvidenceQuery)
    if asked.since is not None and asked.since.tzinfo is None:
        raise BadRequest("`since` has no zone: write a moment such as 2026-03-03T12:00:00Z.", param="since")
    route = await asyncio.to_thread(services.routes.get, name)
    return json_response(_evidence(services, route, asked.since))


@router.delete("/{name}", summary="Remove a Route", status_code=204)
@requires(Permission.ROUTES_WRITE)
async def remove_route(request: Request, name: str) -> Response:
    await asyncio.to_thread(services_of(request).routes.remove, name, actor=caller_of(request).actor)
    return Response(status_code=204)


async def _described(request: Request, route: Route) -> RouteDescription:
    return await asyncio.to_thread(describe_route, services_of(request).routes, route)


def percents(targets: list[WeightedTarget]) -> dict[str, float]:
    """Raises BadRequest for a target that is named twice."""
    shares: dict[str, float] = {}
    for i, each in enumerate(targets):
        if each.target in shares:
            raise BadRequest(
                f"`targets[{i}].target` is {each.target[:MAX_LENGTH]!r} once more: give it one weight.",
                param=f"targets[{i}].target",
            )
        shares[each.target] = each.percent
    return shares


def _evidence(services: Services, route: Route, since: datetime | None) -> RouteEvidence:
    asked = dict.fromkeys([*route.percent_of, *route.fallbacks])
    windows = {target: services.evidence.window(route.name, target, since) for target in asked}
    targets = [
        msgspec.convert(asdict(window) | {"target": target}, TargetEvidence) for target, window in windows.items()
    ]
    shadow = None
    if route.shadow is not None:
        agreement = services.evidence.agreement(route.name, route.shadow.target, since)
        shadow = msgspec.convert(asdict(agreement) | {"target": route.shadow.target}, ShadowEvidence)
    return RouteEvidence(targets=targets, shadow=shadow)
