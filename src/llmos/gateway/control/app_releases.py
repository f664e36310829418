"""/llmos/v1/app-plans and /llmos/v1/apps/NAME/releases: what a release would change, and what has been released."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.clock import utc_now
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.schemas.releases import ReleaseDescription, ReleaseEventDescription, ReleasePlan
from llmos.data.app_versions.versions import AppVersion
from llmos.deployments.releases.descriptions import describe_release, describe_release_event
from llmos.deployments.releases.release import NewRelease, Release
from llmos.gateway.control.apps import ARCHIVE, AppArchiveQuery, apps_of, with_archive
from llmos.gateway.hosted_apps.may_run import check_may_deploy, check_may_run
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.releases.checking import evidence_of
from llmos.gateway.releases.facts import facts_of
from llmos.gateway.releases.planning import Rooms, current_of, evals_of, is_served, plan_release, steps_of
from llmos.gateway.services import Services, services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1", tags=["apps"])


class ReleaseRequest(RequestObject, kw_only=True):
    version: Annotated[int, Meta(ge=1)]
    environment: Annotated[str, Meta(max_length=64)] = ""
    """The environment, by the name that app.yaml gives it."""
    newest_release: Annotated[int, Meta(ge=0)] | None = None
    """The number of the newest release when this was planned; 409 if there is another one since."""
    at_once: bool = False
    """Let it take over without the steps that its app.yaml has."""
    without_evals: bool = False
    """Release it though it hasn't passed the evals that its app.yaml names. The history says so."""


class RollbackRequest(RequestObject, kw_only=True):
    reason: Annotated[str, Meta(max_length=1024)] = ""


class ReleaseDescriptions(msgspec.Struct):
    data: list[ReleaseDescription]


class ReleaseEvents(msgspec.Struct):
    data: list[ReleaseEventDescription]


@router.post(
    "/app-plans",
    summary="Plan a release",
    openapi_extra={"requestBody": {"required": True, "content": ARCHIVE}, **openapi.query(AppArchiveQuery)},
    responses=openapi.answers(ReleasePlan),
)
@requires(Permission.APPS_READ)
async def plan_app_release(request: Request) -> Response:
    """Say what a release of these files would change: prompts, fields and files, documents of its knowledge, the price;
    and what isn't any more as the last release made it. The body is an archive as for a Version. Nothing is kept."""
    environment, rooms = parse_query(request, AppArchiveQuery).environment, release_rooms(request)
    return json_response(await with_archive(request, lambda content: plan_release(rooms, content, environment)))


@router.post(
    "/apps/{name}/releases",
    summary="Release a Version of an application",
    openapi_extra=openapi.body(ReleaseRequest, {"version": 3, "environment": "prod"}),
    responses=openapi.answers(ReleaseDescription),
)
@requires(Permission.APPS_DEPLOY, "release.create")
async def create_app_release(request: Request, name: str) -> Response:
    """It takes over at once, or in the steps of its app.yaml. A gate that fails brings all callers back to the Version
    before. The same Version in the same environment is the release that there is. 409 for one that hasn't passed the
    evals that its app.yaml names, within the last day: `POST …/checks` runs them."""
    body, services, caller = await parse_body(request, ReleaseRequest), services_of(request), caller_of(request)
    check_may_deploy(caller, is_open_to_projects=services.settings.project_apps)
    rooms = release_rooms(request)

    def begin() -> Release:
        version = rooms.apps.resolve(f"{name}@{body.version}")
        manifest = services.supervisor.manifest(caller.project, version.ref)
        check_may_run(caller, manifest, is_open_to_projects=services.settings.project_apps)
        is_let_through = body.without_evals or is_served(rooms, version, body.environment)
        evals = [] if is_let_through else _evidence(services, rooms, version)
        new = NewRelease(
            project=caller.project,
            app=version.app,
            version=version.number,
            environment=body.environment,
            steps=steps_of(None if body.at_once else manifest.rollout),
            facts=facts_of(manifest, rooms.resolver, rooms.knowledge) | ({"evals": evals} if evals else {}),
            note=_note(manifest, evals),
        )
        return services.app_releases.begin(new, expected=body.newest_release, actor=caller.actor)

    release = await asyncio.to_thread(begin)
    if release.state == "active":
        await _settle(services, release)
    return json_response(describe_release(release))


def _evidence(services: Services, rooms: Rooms, version: AppVersion) -> list[str]:
    """Return the runs of evals that the version has passed. Raises Conflict if one is missing."""
    current = current_of(rooms, version.app)
    required = evals_of(rooms, version)
    return evidence_of(services.data.evals, rooms.apps.project, required, version.ref, current, utc_now())


def _note(manifest: AppManifest, evals: Sequence[str]) -> str:
    """Return what the history says about evals."""
    if not manifest.evals:
        return ""
    return f"it passed {', '.join(evals)}" if evals else "without the evals that it should pass"


@router.get(
    "/apps/{name}/releases",
    summary="List the releases of an application",
    responses=openapi.answers(ReleaseDescriptions),
)
@requires(Permission.APPS_READ)
async def list_app_releases(request: Request, name: str) -> Response:
    """Newest first."""
    find = partial(services_of(request).app_releases.list, caller_of(request).project, name)
    return json_response(ReleaseDescriptions([describe_release(each) for each in await asyncio.to_thread(find)]))


@router.get(
    "/apps/{name}/releases/events",
    summary="List what happened to the releases of an application",
    responses=openapi.answers(ReleaseEvents),
)
@requires(Permission.APPS_READ)
async def list_app_release_events(request: Request, name: str) -> Response:
    """Oldest first, each with who did it."""
    find = partial(services_of(request).app_releases.history, caller_of(request).project, name)
    return json_response(ReleaseEvents([describe_release_event(each) for each in await asyncio.to_thread(find)]))


@router.post(
    "/apps/{name}/rollback",
    summary="Undo the newest release of an application",
    openapi_extra=openapi.body(RollbackRequest, {"reason": "It answers in the wrong language."}),
    responses=openapi.answers(ReleaseDescription),
)
@requires(Permission.APPS_DEPLOY, "release.roll_back")
async def roll_back_app(request: Request, name: str) -> Response:
    """A release that is taking over ends. In place of one that is active, the Version of the one before is deployed, at
    once. Returns the release that is active then."""
    body, services, caller = await parse_body(request, RollbackRequest), services_of(request), caller_of(request)
    check_may_deploy(caller, is_open_to_projects=services.settings.project_apps)
    undo = partial(services.app_releases.roll_back_app, caller.project, name, reason=body.reason, actor=caller.actor)
    release = await asyncio.to_thread(undo)
    await _settle(services, release)
    return json_response(describe_release(release))


def release_rooms(request: Request) -> Rooms:
    """Return what plans and releases of the caller's project need."""
    services, project = services_of(request), caller_of(request).project
    return Rooms(
        apps=apps_of(request),
        datasets=services.data.datasets.of(project),
        knowledge=services.data.knowledge.of(project),
        deployments=services.data.app_deployments,
        releases=services.app_releases,
        resolver=services.resolver,
        usage=services.billing.usage,
        price_books=services.billing.price_books,
    )


async def _settle(services: Services, release: Release) -> None:
    """Wait until the version that is deployed now serves, or can't."""
    deployment = await asyncio.to_thread(services.data.app_deployments.get, release.project, release.app)
    await services.supervisor.settle(deployment)
