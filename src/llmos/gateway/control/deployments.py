"""/llmos/v1/deployments: what is wanted to run, and what runs."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import NotFound
from llmos.deployments.desired.deployments import Deployment, DeploymentEvent, replica_limits
from llmos.deployments.replicas.status import VersionStatus
from llmos.engine.messages import Ready
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import Services
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/deployments", tags=["deployments"])


class ReplicaLoad(msgspec.Struct, kw_only=True):
    num_running: int
    num_waiting: int
    num_free_blocks: int
    num_cached_blocks: int
    """Of the free blocks, those that hold prefixes until somebody needs them."""
    num_preemptions: int
    num_steps: int


class Wanted(msgspec.Struct, kw_only=True):
    """The owner's wishes, as they are kept."""

    min_replicas: int
    max_replicas: int
    runner: str
    options: dict[str, Any]
    idle_seconds: int | None
    keep_warm: bool
    forced: bool
    asleep: bool
    created_at: datetime
    updated_at: datetime


class ReplicaDescription(msgspec.Struct, kw_only=True):
    state: str
    """loading, ready, stuck, failed or stopped."""
    since: datetime
    pid: int | None
    tokens_in_flight: int
    """Of its open requests: prompts that are not computed, and what may still be written."""
    restarts: int
    error: str | None
    percent_loaded: float | None
    seconds_left: float | None
    load: ReplicaLoad | None
    ready: Ready | None


class DeploymentDescription(msgspec.Struct, kw_only=True):
    version: str
    state: str
    """loading, ready, stuck, failed, stopped or asleep."""
    reason: str | None
    """Why it can't answer at once. None where it can."""
    replicas_ready: int
    replicas_wanted: int
    replicas: list["ReplicaDescription"]
    percent_loaded: float | None
    """Of the replica that is loaded next. None where none is being loaded."""
    seconds_left: float | None
    """Until it is. None where that isn't known."""
    wanted: Wanted | None
    """None: nobody has deployed it; it was loaded because it was called."""
    pid: int | None
    restarts: int
    since: datetime | None
    """When it entered this state."""
    error: str | None
    """Why it failed, or why it is loaded once more."""
    load: ReplicaLoad | None
    """Of all its replicas together."""
    ready: Ready | None
    """What a replica said about itself when it had loaded: memory, kernels, threads, context window."""


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


class HappenedEvent(msgspec.Struct, kw_only=True):
    at: datetime
    kind: str
    actor: str | None
    """Who caused it: a key, a user or a part of the server. None in events from before it was recorded."""
    reason: str
    data: dict[str, Any]


class DeploymentHistory(msgspec.Struct):
    data: list[HappenedEvent]


@router.get("", summary="List what is deployed and what runs", responses=openapi.answers(DeploymentDescriptions))
@requires(Permission.DEPLOYMENTS_READ)
async def list_deployments(request: Request) -> Response:
    services = services_of(request)
    wanted = {each.ref: each for each in await asyncio.to_thread(services.deployments.list)}
    running = {status.version: status for status in services.pool.status()}
    described = [
        _described(name, wanted.get(name), running.get(name), services.reconciler.problem(name))
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
    deployment = await asyncio.to_thread(
        services.deployments.deploy,
        name,
        actor=caller_of(request).actor,
        min_replicas=least,
        max_replicas=most,
        idle_seconds=asked.idle_seconds,
        keep_warm=asked.keep_warm,
        runner=asked.runner,
        options=asked.options,
        force=asked.force,
    )
    return json_response(await _describe(services, deployment.ref))


@router.get("/{name}/history", summary="What happened to one", responses=openapi.answers(DeploymentHistory))
@requires(Permission.DEPLOYMENTS_READ)
async def get_deployment_history(request: Request, name: str) -> Response:
    history = await asyncio.to_thread(services_of(request).deployments.history, name)
    return json_response(DeploymentHistory([_event(event) for event in history]))


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
    return _described(version, wanted, status, services.reconciler.problem(version))


def _described(
    version: str, wanted: Deployment | None, status: VersionStatus | None, problem: str | None
) -> DeploymentDescription:
    state: str = status.state if status else "stopped"
    if wanted is not None and wanted.asleep and state in ("stopped", "failed"):
        state = "asleep"
    num_ready = status.num_ready if status else 0
    num_wanted = status.num_wanted if status else 0
    if wanted is not None and not wanted.asleep:
        num_wanted = max(num_wanted, wanted.min_replicas)
    return DeploymentDescription(
        version=version,
        state=state,
        reason=problem or _reason(version, state, status, num_ready, num_wanted),
        replicas_ready=num_ready,
        replicas_wanted=num_wanted,
        replicas=[msgspec.convert(each, ReplicaDescription, from_attributes=True) for each in status.replicas]
        if status
        else [],
        percent_loaded=status.percent_loaded if status else None,
        seconds_left=status.seconds_left if status else None,
        wanted=msgspec.convert(wanted, Wanted, from_attributes=True) if wanted else None,
        pid=status.pid if status else None,
        restarts=status.restarts if status else 0,
        since=status.since if status else None,
        error=status.error if status else None,
        load=msgspec.convert(status.load, ReplicaLoad, from_attributes=True) if status and status.load else None,
        ready=status.ready if status else None,
    )


def _reason(version: str, state: str, status: VersionStatus | None, num_ready: int, num_wanted: int) -> str | None:
    reasons = {
        "loading": f"{version} is being loaded.",
        "stuck": f"{version} gives no sign of life. If it goes on like this, it is started again.",
        "failed": f"{version} can't be loaded.",
        "stopped": f"{version} doesn't run yet.",
        "asleep": f"{version} is asleep; the next request wakes it.",
    }
    reason = reasons.get(state)
    if reason is None and num_ready < num_wanted:
        reason = f"{num_ready} of {num_wanted} replicas are ready."
    return f"{reason} {status.error}" if reason and status and status.error else reason


def _event(event: DeploymentEvent) -> HappenedEvent:
    return msgspec.convert(event, HappenedEvent, from_attributes=True)
