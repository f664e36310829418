"""/llmos/v1/apps/NAME/deploy, stop, deployment and logs: the applications that servers keep running."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from llmos.core.connected import while_connected
from llmos.core.errors import BadRequest
from llmos.core.schemas.hosted_apps import AppDeploymentDescription
from llmos.data.apps.deployments import AppDeployment
from llmos.gateway.hosted_apps.may_run import check_may_deploy, check_may_run
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1", tags=["apps"])

_TEXT = "text/plain; charset=utf-8"


class AppDeploymentDescriptions(msgspec.Struct):
    data: list[AppDeploymentDescription]


class AppDeploy(RequestObject, kw_only=True):
    version: Annotated[int, Meta(ge=1)] | None = None
    """By default the newest one."""
    alias: str | None = None
    """The version that an alias names now."""


class AppLogsQuery(RequestObject, kw_only=True):
    lines: Annotated[int, Meta(ge=0, le=100_000)] = 100
    """The last lines."""
    follow: bool = False
    """Send further lines as they come."""


@router.get(
    "/app-deployments",
    summary="List the deployed applications",
    responses=openapi.answers(AppDeploymentDescriptions),
)
@requires(Permission.APPS_READ)
async def list_app_deployments(request: Request) -> Response:
    """The deployed applications of the key's project, including stopped ones."""
    services, project = services_of(request), caller_of(request).project
    found = await asyncio.to_thread(services.data.app_deployments.list, project)
    return json_response(AppDeploymentDescriptions([await services.supervisor.describe(each) for each in found]))


@router.get(
    "/apps/{name}/deployment",
    summary="Describe a deployed application",
    responses=openapi.answers(AppDeploymentDescription),
)
@requires(Permission.APPS_READ)
async def get_app_deployment(request: Request, name: str) -> Response:
    return await _described(request, await _deployment(request, name))


@router.post(
    "/apps/{name}/deploy",
    summary="Deploy a Version of an application",
    openapi_extra=openapi.body(AppDeploy, {"version": 3}),
    responses=openapi.answers(AppDeploymentDescription),
)
@requires(Permission.APPS_DEPLOY, "app.deploy")
async def deploy_app(request: Request, name: str) -> Response:
    """Its process is started, and the one of another Version ends with its last run. Returns when the new one answers,
    or can't: see `state` and `reason`. Its key may do what app.yaml lists, and nothing that yours may not."""
    body, services, caller = await parse_body(request, AppDeploy), services_of(request), caller_of(request)
    is_open = services.settings.project_apps
    check_may_deploy(caller, is_open_to_projects=is_open)
    ref = _reference(name, body)

    def deploy() -> AppDeployment:
        version = services.data.app_versions.of(caller.project).resolve(ref)
        manifest = services.supervisor.manifest(caller.project, version.ref)
        check_may_run(caller, manifest, is_open_to_projects=is_open)
        return services.data.app_deployments.deploy(caller.project, version.app, version.number, actor=caller.actor)

    deployment = await asyncio.to_thread(deploy)
    await services.supervisor.settle(deployment)
    return await _described(request, deployment)


@router.post("/apps/{name}/stop", summary="Stop an application", responses=openapi.answers(AppDeploymentDescription))
@requires(Permission.APPS_DEPLOY, "app.stop")
async def stop_app(request: Request, name: str) -> Response:
    """Its process ends with its last run. Its Versions, sessions and runs stay."""
    services, caller = services_of(request), caller_of(request)
    stop = services.data.app_deployments.stop
    deployment = await asyncio.to_thread(lambda: stop(caller.project, name, actor=caller.actor))
    await services.supervisor.settle(deployment)
    return await _described(request, deployment)


@router.get(
    "/apps/{name}/logs",
    summary="Read the log of an application",
    openapi_extra=openapi.query(AppLogsQuery),
    response_class=Response,
    responses={200: {"description": "The lines", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@requires(Permission.APPS_READ)
async def read_app_logs(request: Request, name: str) -> Response:
    """The output of its process on this server, each line behind its time."""
    query = parse_query(request, AppLogsQuery)
    deployment = await _deployment(request, name)
    log = services_of(request).supervisor.log(deployment.project, deployment.app)
    if query.follow:
        return LogLines(log.follow(query.lines))
    lines = await asyncio.to_thread(log.tail, query.lines)
    return Response("".join(f"{line}\n" for line in lines), media_type=_TEXT)


class LogLines(Response):
    """Sends lines for as long as the caller listens."""

    def __init__(self, lines: AsyncGenerator[str, None]) -> None:
        super().__init__()
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", _TEXT.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(self._lines) as lines:
            async for line in lines:
                body = f"{line}\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})


def _reference(name: str, body: AppDeploy) -> str:
    if body.version is not None and body.alias is not None:
        raise BadRequest("`version` and `alias` both name a version: send one of them.", param="alias")
    if (body.version or body.alias) and ("@" in name or ":" in name):
        raise BadRequest("The path names a version already. Leave `version` and `alias` out.", param="version")
    if body.version is not None:
        return f"{name}@{body.version}"
    return name if body.alias is None else f"{name}:{body.alias}"


async def _deployment(request: Request, name: str) -> AppDeployment:
    services = services_of(request)
    return await asyncio.to_thread(services.data.app_deployments.get, caller_of(request).project, name)


async def _described(request: Request, deployment: AppDeployment) -> Response:
    return json_response(await services_of(request).supervisor.describe(deployment))
