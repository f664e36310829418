"""/llmos/v1/routes: the names that callers ask for, their targets, and what became of their calls."""

import asyncio
from datetime import datetime
from typing import ClassVar

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.core.schemas.routes import RouteDescription, RouteEvidence, RouteMove
from llmos.deployments.descriptions import describe_evidence, describe_move, describe_route
from llmos.deployments.routing.route import Route, RouteSettings, Shadow, parse_sticky
from llmos.deployments.targets import MAX_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/routes", tags=["routes"])


class WeightedTarget(RequestObject, kw_only=True):
    target: str
    """The reference of a model, or remote:PROVIDER/MODEL."""
    percent: float
    """Share of the calls. The shares of all targets add up to 100."""


class ShadowTarget(RequestObject, kw_only=True):
    target: str
    percent: float = 100.0
    """Share of the calls that it runs as well."""


class RouteDescriptions(msgspec.Struct):
    data: list[RouteDescription]


class RouteRequest(RequestObject, kw_only=True):
    """`target`, or `targets`. A field that is left out gets its default."""

    target: str | None = None
    """The reference of a model, or remote:PROVIDER/MODEL. It gets all calls."""
    targets: list[WeightedTarget] = msgspec.field(default_factory=list)
    fallbacks: list[str] = msgspec.field(default_factory=list)
    """Tried in this order if a target fails before its first token."""
    shadow: ShadowTarget | None = None
    sticky: str = "user"
    """`user` or `caller`: calls of the same one always go to the same target. `none`: each call chooses anew."""
    timeout_seconds: float | None = None
    """The limit for the first token, or for a whole answer that isn't streamed."""
    cache: bool = False
    """Give the same answer again to the same request of a project: at temperature 0, or with a seed."""
    reason: str | None = None
    """The reason, for the history."""

    lists: ClassVar = {"targets": WeightedTarget}
    objects: ClassVar = {"shadow": ShadowTarget}

    def percent_of(self) -> dict[str, float]:
        """Raises BadRequest unless exactly one of `target` and `targets` is given."""
        if (self.target is None) == (not self.targets):
            what = "are both given: send one of them" if self.targets else "are both missing: send one of them"
            raise BadRequest(f"`target` and `targets` {what}.", param="target")
        return {self.target: 100.0} if self.target is not None else percents(self.targets)


class WeightsRequest(RequestObject, kw_only=True):
    targets: list[WeightedTarget]
    reason: str
    """The reason, for the history."""

    lists: ClassVar = {"targets": WeightedTarget}


class RouteMoves(msgspec.Struct):
    data: list[RouteMove]


class EvidenceQuery(RequestObject, kw_only=True):
    since: datetime | None = None
    """An instant with its zone, such as 2026-03-03T12:00:00Z."""


@router.get("", summary="List the Routes", responses=openapi.answers(RouteDescriptions))
@requires(Permission.ROUTES_READ)
async def list_routes(request: Request) -> Response:
    routes = services_of(request).routes

    def read() -> list[RouteDescription]:
        return [describe_route(routes, route) for route in routes.list()]

    return json_response(RouteDescriptions(await asyncio.to_thread(read)))


# Longer paths come first: a name may have slashes.


@router.put(
    "/{name:path}/weights",
    summary="Change the weights of a Route",
    openapi_extra=openapi.body(WeightsRequest, {"targets": [{"target": "smollm2", "percent": 100}], "reason": "…"}),
    responses=openapi.answers(RouteDescription),
)
@requires(Permission.ROUTES_WRITE, "route.set_weights")
async def set_weights(request: Request, name: str) -> Response:
    """Replaces all weights at once. Fallbacks, shadow and the other settings stay."""
    body = await parse_body(request, WeightsRequest)
    routes, shares = services_of(request).routes, percents(body.targets)
    route = await asyncio.to_thread(routes.set_weights, name, shares, body.reason, actor=caller_of(request).actor)
    return json_response(await _described(request, route))


@router.get("/{name:path}/history", summary="List the changes of a Route", responses=openapi.answers(RouteMoves))
@requires(Permission.ROUTES_READ)
async def get_route_history(request: Request, name: str) -> Response:
    """Newest first. The history of a removed Route is kept."""
    moves = await asyncio.to_thread(services_of(request).routes.history, name)
    return json_response(RouteMoves([describe_move(move) for move in moves]))


@router.get(
    "/{name:path}/evidence",
    summary="Count the outcomes of a Route's calls",
    openapi_extra=openapi.query(EvidenceQuery),
    responses=openapi.answers(RouteEvidence),
)
@requires(Permission.ROUTES_READ)
async def get_route_evidence(request: Request, name: str) -> Response:
    """By target, and how the shadow's answers compare. `?since=`: only calls after an instant."""
    services, query = services_of(request), parse_query(request, EvidenceQuery)
    if query.since is not None and query.since.tzinfo is None:
        raise BadRequest("`since` has no zone. Write an instant such as 2026-03-03T12:00:00Z.", param="since")
    route = await asyncio.to_thread(services.routes.get, name)
    return json_response(describe_evidence(services.evidence, route, query.since))


@router.get("/{name:path}", summary="Describe a Route", responses=openapi.answers(RouteDescription))
@requires(Permission.ROUTES_READ)
async def get_route(request: Request, name: str) -> Response:
    route = await asyncio.to_thread(services_of(request).routes.get, name)
    return json_response(await _described(request, route))


@router.put(
    "/{name:path}",
    summary="Create or change a Route",
    openapi_extra=openapi.body(RouteRequest, {"target": "smollm2"}),
    responses=openapi.answers(RouteDescription),
)
@requires(Permission.ROUTES_WRITE, "route.set")
async def set_route(request: Request, name: str) -> Response:
    """The body replaces targets, fallbacks, shadow and all other settings. The history keeps the former ones."""
    body = await parse_body(request, RouteRequest)
    shadow = None if body.shadow is None else Shadow(body.shadow.target, body.shadow.percent)
    route = await asyncio.to_thread(
        services_of(request).routes.set,
        name,
        body.percent_of(),
        RouteSettings(
            fallbacks=body.fallbacks,
            shadow=shadow,
            sticky=parse_sticky(body.sticky),
            timeout_seconds=body.timeout_seconds,
            cache=body.cache,
        ),
        reason=body.reason,
        actor=caller_of(request).actor,
    )
    return json_response(await _described(request, route))


@router.delete("/{name:path}", summary="Remove a Route", status_code=204)
@requires(Permission.ROUTES_WRITE, "route.remove")
async def remove_route(request: Request, name: str) -> Response:
    await asyncio.to_thread(services_of(request).routes.remove, name, actor=caller_of(request).actor)
    return Response(status_code=204)


async def _described(request: Request, route: Route) -> RouteDescription:
    return await asyncio.to_thread(describe_route, services_of(request).routes, route)


def percents(targets: list[WeightedTarget]) -> dict[str, float]:
    """Return the weight of each target. Raises BadRequest for a target that is named twice."""
    shares: dict[str, float] = {}
    for i, each in enumerate(targets):
        if each.target in shares:
            raise BadRequest(
                f"`targets[{i}].target` is {each.target[:MAX_LENGTH]!r} again. Give it one weight.",
                param=f"targets[{i}].target",
            )
        shares[each.target] = each.percent
    return shares
