"""/llmos/v1/routes: what callers may ask for, what answers, and what became of their calls."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.deployments.rollouts.evidence import Agreement, Spread, Window
from llmos.deployments.routing import route as deployed
from llmos.deployments.routing.route import Move, Route, sticky_of
from llmos.deployments.targets import MAX_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import Services
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


class RouteDescription(msgspec.Struct, kw_only=True):
    name: str
    target: str
    """The one that gets most of the calls."""
    targets: list[WeightedTarget]
    fallbacks: list[str]
    shadow: ShadowTarget | None
    sticky: str
    timeout_seconds: float | None
    updated_at: datetime


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


class RouteMove(msgspec.Struct, kw_only=True):
    moved_at: datetime
    moved_by: str | None
    reason: str | None
    before: dict[str, Any] | None
    """targets, fallbacks, shadow, sticky, timeout_seconds; null where there was no such Route."""
    after: dict[str, Any] | None
    """null where it was removed."""


class RouteMoves(msgspec.Struct):
    data: list[RouteMove]


class TargetEvidence(msgspec.Struct, kw_only=True):
    target: str
    is_whole: bool
    """Nothing that belongs in it was forgotten."""
    num_calls: int
    num_answered: int
    num_failed: int
    num_refused: int
    """By the callers' own mistakes."""
    num_cancelled: int
    errors: dict[str, int]
    """The failed, by code."""
    error_rate: float | None
    """Of those that were answered or failed."""
    seconds: Spread | None
    first_token_seconds: Spread | None
    tokens_per_second: Spread | None


class ShadowEvidence(msgspec.Struct, kw_only=True):
    target: str
    is_whole: bool
    num_calls: int
    num_failed: int
    num_compared: int
    """Both texts were the likeliest ones, so that they can be compared."""
    num_agreed: int
    agreement: float | None
    common_share: float | None
    """How much of the longer text both begin with, on average."""
    seconds: Spread | None
    """What callers got."""
    shadow_seconds: Spread | None


class RouteEvidence(msgspec.Struct, kw_only=True):
    """What became of the calls, as far as this server remembers: the last 4,096 of each target since it started."""

    targets: list[TargetEvidence]
    shadow: ShadowEvidence | None


class EvidenceQuery(RequestObject, kw_only=True):
    since: datetime | None = None
    """A moment with its zone, such as 2026-03-03T12:00:00Z."""


@router.get("", summary="List the Routes", responses=openapi.answers(RouteDescriptions))
@requires(Permission.ROUTES_READ)
async def list_routes(request: Request) -> Response:
    routes = await asyncio.to_thread(services_of(request).routes.list)
    return json_response(RouteDescriptions([_route(route) for route in routes]))


@router.get("/{name}", summary="Say where a Route leads", responses=openapi.answers(RouteDescription))
@requires(Permission.ROUTES_READ)
async def get_route(request: Request, name: str) -> Response:
    route = await asyncio.to_thread(services_of(request).routes.get, name)
    return json_response(_route(route))


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
    return json_response(_route(route))


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
    return json_response(_route(route))


@router.get("/{name}/history", summary="Say what a Route was, and why", responses=openapi.answers(RouteMoves))
@requires(Permission.ROUTES_READ)
async def get_route_history(request: Request, name: str) -> Response:
    """The newest move first. That of a Route that was removed is kept."""
    moves = await asyncio.to_thread(services_of(request).routes.history, name)
    return json_response(RouteMoves([_move(move) for move in moves]))


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


def _route(route: Route) -> RouteDescription:
    shadow = None if route.shadow is None else ShadowTarget(target=route.shadow.target, percent=route.shadow.percent)
    return RouteDescription(
        name=route.name,
        target=route.target,
        targets=[WeightedTarget(target=target, percent=percent) for target, percent in route.percent_of.items()],
        fallbacks=list(route.fallbacks),
        shadow=shadow,
        sticky=route.sticky,
        timeout_seconds=route.timeout_seconds,
        updated_at=route.updated_at,
    )


def _move(move: Move) -> RouteMove:
    def plain(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if settings is None else dict(settings)

    return RouteMove(
        moved_at=move.moved_at,
        moved_by=move.moved_by,
        reason=move.reason,
        before=plain(move.before),
        after=plain(move.after),
    )


def _evidence(services: Services, route: Route, since: datetime | None) -> RouteEvidence:
    asked = dict.fromkeys([*route.percent_of, *route.fallbacks])
    windows = {target: services.evidence.window(route.name, target, since) for target in asked}
    shadow = None
    if route.shadow is not None:
        agreement = services.evidence.agreement(route.name, route.shadow.target, since)
        shadow = ShadowEvidence(target=route.shadow.target, **_fields(agreement))
    return RouteEvidence(
        targets=[TargetEvidence(target=target, **_fields(window)) for target, window in windows.items()],
        shadow=shadow,
    )


def _fields(found: Window | Agreement) -> dict[str, Any]:
    return {name: getattr(found, name) for name in type(found).__dataclass_fields__}
