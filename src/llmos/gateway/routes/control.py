"""/llmos/v1/models and /routes: what is stored, what callers may ask for."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.deployments.route import Route
from llmos.gateway import openapi
from llmos.gateway.http import json_response, services_of
from llmos.gateway.wire import WireRequest, receive
from llmos.models.versions import Version

router = APIRouter(prefix="/llmos/v1")


class ModelDescription(msgspec.Struct, kw_only=True):
    name: str
    """The name that was asked, or the model's."""
    version: str
    digest: str
    family: str
    format: str
    quantization: str
    parameters: int
    context_length: int | None
    sampling: dict[str, float]
    """How tokens are chosen where a request doesn't say: what the model's makers recommend."""
    size_bytes: int
    license: str | None
    source: str
    parent: str | None
    """The digest of the Version that it was made from."""
    recipe: dict[str, Any] | None
    """How it was made from that one."""
    made_by: str | None
    """Who made it or brought it in."""
    created_at: datetime


class ModelDescriptions(msgspec.Struct):
    data: list[ModelDescription]


class RouteDescription(msgspec.Struct, kw_only=True):
    name: str
    target: str
    """The reference of a model."""
    updated_at: datetime


class RouteDescriptions(msgspec.Struct):
    data: list[RouteDescription]


class RouteTarget(WireRequest, kw_only=True):
    target: str


@router.get("/models", tags=["models"], summary="List the Versions", responses=openapi.answers(ModelDescriptions))
async def list_versions(request: Request) -> Response:
    versions = await asyncio.to_thread(services_of(request).registry.list)
    return json_response(ModelDescriptions([_model(version.model, version) for version in versions]))


@router.get(
    "/models/{name:path}", tags=["models"], summary="Describe a Version", responses=openapi.answers(ModelDescription)
)
async def get_version(request: Request, name: str) -> Response:
    """`name` is a Route or a reference: NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST."""
    return json_response(_model(name, await asyncio.to_thread(services_of(request).routes.resolve, name)))


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


def _model(name: str, version: Version) -> ModelDescription:
    return ModelDescription(
        name=name,
        version=version.ref,
        digest=version.digest,
        family=version.family,
        format=version.format,
        quantization=version.quantization,
        parameters=version.parameters,
        context_length=version.context_length,
        sampling=dict(version.sampling),
        size_bytes=version.size,
        license=version.license,
        source=version.source,
        parent=version.parent,
        recipe=None if version.recipe is None else dict(version.recipe),
        made_by=version.made_by,
        created_at=version.created_at,
    )


def _route(route: Route) -> RouteDescription:
    return msgspec.convert(route, RouteDescription, from_attributes=True)
