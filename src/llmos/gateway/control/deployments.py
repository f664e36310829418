"""/llmos/v1/deployments: what is wanted to run, and what runs."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import NotFound
from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.deployments.descriptions import describe_deployment, describe_deployment_event
from llmos.deployments.desired.deployment import Deployment, DeploymentSettings, replica_limits
from llmos.deployments.replicas.status import VersionStatus
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import Services, services_of
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/deployments", tags=["deployments"])


class DeploymentDescriptions(msgspec.Struct):
    data: list[DeploymentDescription]


class DeploymentRequest(RequestObject, kw_only=True):
    replicas: int | None = None
    """As many always; or, instead, min_replicas and max_replicas."""
    min_replicas: int | None = None
    max_replicas: int | None = None
    idle_seconds: int | None = None
    keep_warm: bool = False
    runner: str = "native"
    options: dict[str, Any] = msgspec.field(default_factory=dict)
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
    services = services_of(request)
    wanted = {each.ref: each for each in await asyncio.to_thread(services.deployments.list)}
    running = {status.version: status for status in services.pool.status()}
    described = [
        describe_deployment(name, wanted.get(name), running.get(name), services.reconciler.problem(name))
        for name in {**wanted, **running}
    ]
    return json_response(DeploymentDescriptions(described))


@router.get("/{name}", summary="Say how one stands", responses=openapi.answers(DeploymentDescription))
@requires(Permission.DEPLOYMENTS_READ)
async def get_deployment(request: Request, name: str) -> Response:
    """`name` is a Version, a Route or a reference."""
    services = services_of(request)
    return json_response(await _describe(services, await _version_of(services, name)))


@router.put(
    "/{name}",
    summary="Deploy a Version, or change what is wanted of it",
    openapi_extra=openapi.body(DeploymentRequest, {"min_replicas": 0, "max_replicas": 3, "idle_seconds": 300}),
    responses=openapi.answers(DeploymentDescription),
)
@requires(Permission.DEPLOYMENTS_WRITE)
async def put_deployment(request: Request, name: str) -> Response:
    """The body says all that is wanted: what it leaves out is as in a new one."""
    asked = await parse_body(request, DeploymentRequest)
    services = services_of(request)
    least, most = replica_limits(asked.replicas, asked.min_replicas, asked.max_replicas)
    settings = DeploymentSettings(
        min_replicas=least,
        max_replicas=most,
        idle_seconds=asked.idle_seconds,
        keep_warm=asked.keep_warm,
        runner=asked.runner,
        options=asked.options,
    )
    deployment = await asyncio.to_thread(
        services.deployments.deploy, name, settings, actor=caller_of(request).actor, force=asked.force
    )
    return json_response(await _describe(services, deployment.ref))


@router.get("/{name}/history", summary="What happened to one", responses=openapi.answers(DeploymentHistory))
@requires(Permission.DEPLOYMENTS_READ)
async def get_deployment_history(request: Request, name: str) -> Response:
    history = await asyncio.to_thread(services_of(request).deployments.history, name)
    return json_response(DeploymentHistory([describe_deployment_event(event) for event in history]))


@router.post(
    "/{name}/scale",
    summary="Change how many replicas one has",
    openapi_extra=openapi.body(ScaleRequest, {"replicas": 2}),
    responses=openapi.answers(DeploymentDescription),
)
@requires(Permission.DEPLOYMENTS_WRITE)
async def scale_deployment(request: Request, name: str) -> Response:
    """`replicas`, or one or both of the limits; a limit that isn't given stays."""
    asked = await parse_body(request, ScaleRequest)
    services = services_of(request)
    version = await _version_of(services, name)
    await asyncio.to_thread(
        services.deployments.scale,
        version,
        actor=caller_of(request).actor,
        replicas=asked.replicas,
        min_replicas=asked.min_replicas,
        max_replicas=asked.max_replicas,
    )
    return json_response(await _describe(services, version))


@router.post(
    "/{name}/sleep", summary="Unload one until it is asked for", responses=openapi.answers(DeploymentDescription)
)
@requires(Permission.DEPLOYMENTS_WRITE)
async def sleep_deployment(request: Request, name: str) -> Response:
    """Its running answers end first. The next request loads it again. One that nobody has deployed is stopped."""
    services = services_of(request)
    version = await _version_of(services, name)
    if await _wanted(services, version) is not None:
        await asyncio.to_thread(services.deployments.sleep, version, actor=caller_of(request).actor)
    else:
        await _stop(services, version, caller_of(request))
    return json_response(await _describe(services, version))


@router.post("/{name}/wake", summary="Load one that sleeps", responses=openapi.answers(DeploymentDescription))
@requires(Permission.DEPLOYMENTS_WRITE)
async def wake_deployment(request: Request, name: str) -> Response:
    services = services_of(request)
    version = await _version_of(services, name)
    await asyncio.to_thread(services.deployments.wake, version, actor=caller_of(request).actor)
    return json_response(await _describe(services, version))


@router.delete("/{name}", summary="Undeploy a model, and stop it", status_code=204)
@requires(Permission.DEPLOYMENTS_WRITE)
async def remove_deployment(request: Request, name: str) -> Response:
    """`name` is a Version, a Route or a reference. Answered when what ran has ended and the process is gone; the next
    request loads the model again, on demand."""
    services = services_of(request)
    version = await _version_of(services, name)
    if await _wanted(services, version) is None:
        await _stop(services, version, caller_of(request))
        return Response(status_code=204)
    await asyncio.to_thread(services.deployments.remove, version, actor=caller_of(request).actor)
    if version in _running(services):
        await services.pipeline.stop(version, caller_of(request))
    return Response(status_code=204)


def _running(services: Services) -> dict[str, VersionStatus]:
    return {status.version: status for status in services.pool.status() if status.state != "stopped"}


async def _version_of(services: Services, name: str) -> str:
    """The Version that a name leads to, whose replicas answer for it; also one that was removed and still runs."""
    if name in _running(services):
        return name
    version = await asyncio.to_thread(services.routes.resolve_local, name)
    return (await asyncio.to_thread(services.registry.loadable, version)).version.ref


async def _wanted(services: Services, version: str) -> Deployment | None:
    try:
        return await asyncio.to_thread(services.deployments.get, version)
    except NotFound:
        return None


async def _stop(services: Services, version: str, caller: Caller) -> None:
    running = _running(services)
    if version not in running:
        raise NotFound(f"{version} doesn't run. There runs {', '.join(running) or 'nothing'}.", param="name")
    await services.pipeline.stop(version, caller)


async def _describe(services: Services, version: str) -> DeploymentDescription:
    status = {status.version: status for status in services.pool.status()}.get(version)
    wanted = await _wanted(services, version)
    return describe_deployment(version, wanted, status, services.reconciler.problem(version))
