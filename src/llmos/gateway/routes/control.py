"""/llmos/v1/routes: what callers may ask for."""

import asyncio
from datetime import datetime

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.deployments.route import Route
from llmos.gateway import openapi
from llmos.gateway.http import json_response, services_of
from llmos.gateway.wire import WireRequest, receive

router = APIRouter(prefix="/llmos/v1")


class RouteDescription(msgspec.Struct, kw_only=True):
    name: str
    target: str
    """The reference of a model."""
    updated_at: datetime


class RouteDescriptions(msgspec.Struct):
    data: list[RouteDescription]


class RouteTarget(WireRequest, kw_only=True):
    target: str


@router.get("/routes", tags=["routes"], summary="List the Routes", responses=openapi.answers(RouteDescriptions))
async def list_routes(request: Request) -> Response:
    routes = await asyncio.to_thread(services_of(request).routes.list)
    return json_response(RouteDescriptions([_route(route) for route in routes]))


@router.get(
    "/routes/{name}", tags=["routes"], summary="Say where a Route leads", responses=openapi.answers(RouteDescription)
)
async def get_route(request: Request, name: str) -> Response:
    route = await asyncio.to_thread(services_of(request).routes.get, name)
    return json_response(_route(route))


@router.put(
    "/routes/{name}",
    tags=["routes"],
    summary="Point a Route at a model",
    openapi_extra=openapi.body(RouteTarget, {"target": "smollm2"}),
    responses=openapi.answers(RouteDescription),
)
async def set_route(request: Request, name: str) -> Response:
    asked = await receive(request, RouteTarget)
    route = await asyncio.to_thread(services_of(request).routes.set, name, asked.target)
    return json_response(_route(route))


@router.delete("/routes/{name}", tags=["routes"], summary="Remove a Route", status_code=204)
async def remove_route(request: Request, name: str) -> Response:
    await asyncio.to_thread(services_of(request).routes.remove, name)
    return Response(status_code=204)


def _route(route: Route) -> RouteDescription:
    return msgspec.convert(route, RouteDescription, from_attributes=True)
