"""/llmos/v1/models, /routes and /deployments: what is stored, what callers may ask for, what runs."""

import asyncio
from datetime import datetime

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import NotFound
from llmos.deployments.pool import ReplicaStatus
from llmos.deployments.routes import Route
from llmos.engine.messages import Ready
from llmos.gateway import openapi
from llmos.gateway.http import json_response, services_of
from llmos.gateway.services import Services
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


class ReplicaLoad(msgspec.Struct, kw_only=True):
    num_running: int
    num_waiting: int
    num_free_blocks: int
    num_cached_blocks: int
    """Of the free blocks, those that hold prefixes until somebody needs them."""
    num_preemptions: int
    num_steps: int


class DeploymentDescription(msgspec.Struct, kw_only=True):
    version: str
    state: str
    """loading, ready, stuck, failed or stopped."""
    pid: int | None
    restarts: int
    since: datetime
    """When it entered this state."""
    error: str | None
    """Why it failed, or why it is loaded once more."""
    load: ReplicaLoad | None
    ready: Ready | None
    """What the replica said about itself when it had loaded: memory, kernels, threads, context window."""


class DeploymentDescriptions(msgspec.Struct):
    data: list[DeploymentDescription]


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


@router.get(
    "/deployments", tags=["deployments"], summary="List what runs", responses=openapi.answers(DeploymentDescriptions)
)
async def list_deployments(request: Request) -> Response:
    return json_response(
        DeploymentDescriptions([_deployment(replica) for replica in services_of(request).pool.status()])
    )


def _replica_of(services: Services, name: str) -> Version:
    """The Version whose process answers for a name."""
    return services.registry.loadable(services.routes.resolve(name)).version


@router.delete("/deployments/{name}", tags=["deployments"], summary="Stop a model", status_code=204)
async def stop_deployment(request: Request, name: str) -> Response:
    """`name` is a Version, a Route or a reference. Answered when what ran has ended and the process is gone; the next
    request loads the model again."""
    services = services_of(request)
    running = [replica.version for replica in services.pool.status() if replica.state != "stopped"]
    version = name if name in running else (await asyncio.to_thread(_replica_of, services, name)).ref
    if version not in running:
        raise NotFound(f"{version} doesn't run. There runs {', '.join(running) or 'nothing'}.", param="name")
    await services.pool.stop(version)
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
        created_at=version.created_at,
    )


def _route(route: Route) -> RouteDescription:
    return msgspec.convert(route, RouteDescription, from_attributes=True)


def _deployment(replica: ReplicaStatus) -> DeploymentDescription:
    return msgspec.convert(replica, DeploymentDescription, from_attributes=True)
