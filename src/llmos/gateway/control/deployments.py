"""/llmos/v1/deployments: which Versions should run, and which do."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.deployments.descriptions import describe_deployment_event
from llmos.deployments.desired.deployment import DeploymentSettings, replica_limits
from llmos.deployments.overview import Overview
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import Services, services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/deployments", tags=["deployments"])


class DeploymentDescriptions(msgspec.Struct):
    data: list[DeploymentDescription]


class DeploymentRequest(RequestObject, kw_only=True):
    replicas: int | None = None
    """A fixed number. Alternatively, min_replicas and max_replicas."""
    min_replicas: int | None = None
    max_replicas: int | None = None
    idle_seconds: int | None = None
    keep_warm: bool = False
    runner: str = "native"
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    placement: str | None = None
    """The machines that its replicas run on: null for the server's machine, `nodes` for any node, the name of a node,
    LABEL=VALUE, or the nodes that its layers are split over: `split`, or a:0-9,b:10-19, with a ! behind it also where
    one node has room for the model."""
    force: bool = False


class ScaleRequest(RequestObject, kw_only=True):
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None


class DeploymentHistory(msgspec.Struct):
    data: list[DeploymentEventDescription]


@router.get("", summary="List what is deployed and what runs", responses=openapi.answers(DeploymentDescriptions))
@requires(Permission.DEPLOYMENTS_READ)
async def list_deployments(request: Request) -> Response:
    return json_response(DeploymentDescriptions(await _overview(services_of(request)).list()))


@router.get("/{name}", summary="Describe a deployment", responses=openapi.answers(DeploymentDescription))
@requires(Permission.DEPLOYMENTS_READ)
async def get_deployment(request: Request, name: str) -> Response:
    """`name` is a Version, a Route or a reference."""
    overview = _overview(services_of(request))
    return json_response(await overview.describe(await overview.resolve(name)))


@router.put(
    "/{name}",
    summary="Deploy a Version, or change its deployment",
    openapi_extra=openapi.body(DeploymentRequest, {"min_replicas": 0, "max_replicas": 3, "idle_seconds": 300}),
    responses=openapi.answers(DeploymentDescription),
)
@requires(Permission.DEPLOYMENTS_WRITE, "deployment.set")
async def put_deployment(request: Request, name: str) -> Response:
    """The body replaces all settings: a field that is left out gets its default."""
    body = await parse_body(request, DeploymentRequest)
    services = services_of(request)
    least, most = replica_limits(body.replicas, body.min_replicas, body.max_replicas)
    settings = DeploymentSettings(
        min_replicas=least,
        max_replicas=most,
        idle_seconds=body.idle_seconds,
        keep_warm=body.keep_warm,
        runner=body.runner,
        options=body.options,
        placement=body.placement,
    )
    deployment = await asyncio.to_thread(
        services.deployments.deploy, name, settings, actor=caller_of(request).actor, force=body.force
    )
    return json_response(await _overview(services).describe(deployment.ref))


@router.get("/{name}/history", summary="List the events of a deployment", responses=openapi.answers(DeploymentHistory))
@requires(Permission.DEPLOYMENTS_READ)
async def get_deployment_history(request: Request, name: str) -> Response:
    history = await asyncio.to_thread(services_of(request).deployments.history, name)
    return json_response(DeploymentHistory([describe_deployment_event(event) for event in history]))


@router.post(
    "/{name}/scale",
    summary="Scale a deployment",
    openapi_extra=openapi.body(ScaleRequest, {"replicas": 2}),
    responses=openapi.answers(DeploymentDescription),
)
@requires(Permission.DEPLOYMENTS_WRITE, "deployment.scale")
async def scale_deployment(request: Request, name: str) -> Response:
    """`replicas`, or one or both of the limits. A limit that is left out keeps its value."""
    body = await parse_body(request, ScaleRequest)
    services = services_of(request)
    overview = _overview(services)
    version = await overview.resolve(name)
    await asyncio.to_thread(
        services.deployments.scale,
        version,
        actor=caller_of(request).actor,
        replicas=body.replicas,
        min_replicas=body.min_replicas,
        max_replicas=body.max_replicas,
    )
    return json_response(await overview.describe(version))


@router.post(
    "/{name}/sleep", summary="Unload a Version until the next request", responses=openapi.answers(DeploymentDescription)
)
@requires(Permission.DEPLOYMENTS_WRITE, "deployment.sleep")
async def sleep_deployment(request: Request, name: str) -> Response:
    """Its running requests finish first. The next request loads it again. A Version that isn't deployed is stopped."""
    services, caller = services_of(request), caller_of(request)
    overview = _overview(services)
    version = await overview.resolve(name)
    if await overview.deployment(version) is not None:
        await asyncio.to_thread(services.deployments.sleep, version, actor=caller.actor)
    else:
        overview.check_running(version)
        await services.pipeline.stop(version, caller)
    return json_response(await overview.describe(version))


@router.post("/{name}/wake", summary="Load a Version that is asleep", responses=openapi.answers(DeploymentDescription))
@requires(Permission.DEPLOYMENTS_WRITE, "deployment.wake")
async def wake_deployment(request: Request, name: str) -> Response:
    services = services_of(request)
    overview = _overview(services)
    version = await overview.resolve(name)
    await asyncio.to_thread(services.deployments.wake, version, actor=caller_of(request).actor)
    return json_response(await overview.describe(version))


@router.delete("/{name}", summary="Undeploy a Version, and stop it", status_code=204)
@requires(Permission.DEPLOYMENTS_WRITE, "deployment.remove")
async def remove_deployment(request: Request, name: str) -> Response:
    """`name` is a Version, a Route or a reference. Replies after its running requests have finished and its processes
    have ended. The next request loads it again, on demand."""
    services, caller = services_of(request), caller_of(request)
    overview = _overview(services)
    version = await overview.resolve(name)
    if await overview.deployment(version) is None:
        overview.check_running(version)
    else:
        await asyncio.to_thread(services.deployments.remove, version, actor=caller.actor)
    if version in overview.running():
        await services.pipeline.stop(version, caller)
    return Response(status_code=204)


def _overview(services: Services) -> Overview:
    return Overview(services.deployments, services.routes, services.registry, services.pool, services.reconciler)
