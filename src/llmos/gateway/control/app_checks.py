"""/llmos/v1/apps/NAME/checks: the evals that a version must pass before it is released."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.core.schemas.releases import ReleaseCheckDescription
from llmos.data.app_versions.versions import AppVersion
from llmos.gateway.control.app_releases import release_rooms
from llmos.gateway.control.evals import begin_run
from llmos.gateway.hosted_apps.may_run import check_may_run
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.releases.checking import check_of
from llmos.gateway.releases.planning import current_of, evals_of
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/apps", tags=["apps"])


class CheckRequest(RequestObject, kw_only=True):
    version: Annotated[int, Meta(ge=1)]


@router.post(
    "/{name}/checks",
    summary="Run the evals of a Version of an application",
    status_code=202,
    openapi_extra=openapi.body(CheckRequest, {"version": 3}),
    responses=openapi.answers(ReleaseCheckDescription, status=202),
)
@requires(Permission.APPS_DEPLOY, "release.check")
async def check_app_version(request: Request, name: str) -> Response:
    """Asks the cases of the suites that its app.yaml names, in a process of its own that no caller reaches, and where a
    suite compares, the deployed Version, too. Each run of an eval has its job; one that was stopped goes on. A Version
    that has passed can be released."""
    body, services, caller = await parse_body(request, CheckRequest), services_of(request), caller_of(request)
    rooms, project = release_rooms(request), caller.project
    for permission in (Permission.EVALS_WRITE, Permission.INFERENCE, Permission.APPS_RUN):
        caller.check(permission)

    def begin() -> ReleaseCheckDescription:
        version, current = rooms.apps.resolve(f"{name}@{body.version}"), current_of(rooms, name)
        manifest = services.supervisor.manifest(project, version.ref)
        check_may_run(caller, manifest, is_open_to_projects=services.settings.project_apps)
        required = evals_of(rooms, version)
        if any(each.source for each in required):
            caller.check(Permission.DATASETS_READ)
        if not required:
            raise BadRequest(
                f"{version.ref} has no `evals` in its app.yaml, so there is nothing to check.", param="name"
            )
        for each in required:
            begin_run(services, caller, each.run_of(version.ref, current))
        return check_of(services.data.evals, project, required, version.ref, current)

    return json_response(await asyncio.to_thread(begin), 202)


class CheckQuery(RequestObject, kw_only=True):
    version: Annotated[int, Meta(ge=1)]


@router.get(
    "/{name}/checks",
    summary="Show what the evals of a Version came to",
    openapi_extra=openapi.query(CheckQuery),
    responses=openapi.answers(ReleaseCheckDescription),
)
@requires(Permission.APPS_READ)
async def get_app_check(request: Request, name: str) -> Response:
    """The newest run of each suite, beside the Version that is deployed now."""
    query, services, caller = parse_query(request, CheckQuery), services_of(request), caller_of(request)
    caller.check(Permission.EVALS_READ)
    rooms = release_rooms(request)

    def read() -> ReleaseCheckDescription:
        version: AppVersion = rooms.apps.resolve(f"{name}@{query.version}")
        required = evals_of(rooms, version)
        return check_of(services.data.evals, caller.project, required, version.ref, current_of(rooms, name))

    return json_response(await asyncio.to_thread(read))
