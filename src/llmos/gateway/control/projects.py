"""/llmos/v1/projects: the tenants of the installation. The keys of a project see their own alone."""

import asyncio
from typing import ClassVar

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import NotFound
from llmos.core.schemas.projects import ProjectDescription
from llmos.gateway.control.limits import LimitsRequest
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.callers import Caller
from llmos.security.descriptions import describe_project
from llmos.security.limits import NO_LIMITS
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/projects", tags=["projects"])


class ProjectRequest(RequestObject, kw_only=True):
    name: str
    """1 to 63 lower-case letters, digits, and . _ - between them."""
    description: str = ""
    limits: LimitsRequest | None = None
    """The limits of all its keys together. By default none."""

    objects: ClassVar = {"limits": LimitsRequest}


class RetentionRequest(RequestObject, kw_only=True):
    retention: str
    """default (responses 30 days, files until they are deleted), forever, nothing, or days such as 30d."""


class ProjectDescriptions(msgspec.Struct):
    data: list[ProjectDescription]


@router.post(
    "",
    summary="Create a project",
    openapi_extra=openapi.body(ProjectRequest, {"name": "acme", "description": "The shop's assistant"}),
    responses=openapi.answers(ProjectDescription),
)
@requires(Permission.PROJECTS_WRITE, "project.create")
async def create_project(request: Request) -> Response:
    """409 for a name that is or was taken."""
    body, actor = await parse_body(request, ProjectRequest), caller_of(request).actor
    projects, limits = services_of(request).projects, NO_LIMITS if body.limits is None else body.limits.limits()
    project = await asyncio.to_thread(
        lambda: projects.create(body.name, description=body.description, limits=limits, actor=actor)
    )
    return json_response(describe_project(project))


@router.get("", summary="List the projects", responses=openapi.answers(ProjectDescriptions))
@requires(Permission.PROJECTS_READ)
async def list_projects(request: Request) -> Response:
    """Keys of the project `owner` see all, others their own."""
    projects, caller = await asyncio.to_thread(services_of(request).projects.list), caller_of(request)
    return json_response(
        ProjectDescriptions([describe_project(each) for each in projects if _may_see(caller, each.name)])
    )


@router.get("/{name}", summary="Describe a project", responses=openapi.answers(ProjectDescription))
@requires(Permission.PROJECTS_READ)
async def get_project(request: Request, name: str) -> Response:
    if not _may_see(caller_of(request), name):
        raise NotFound(f"There is no project {name[:80]!r}. GET /llmos/v1/projects lists them.", param="project")
    return json_response(describe_project(await asyncio.to_thread(services_of(request).projects.get, name)))


@router.put(
    "/{name}/limits",
    summary="Replace the limits of a project",
    openapi_extra=openapi.body(LimitsRequest, {"requests_per_minute": 600, "concurrent_requests": 10}),
    responses=openapi.answers(ProjectDescription),
)
@requires(Permission.PROJECTS_WRITE, "project.set_limits")
async def limit_project(request: Request, name: str) -> Response:
    """All keys of the project share them. Calls that run already aren't stopped."""
    services, limits = services_of(request), (await parse_body(request, LimitsRequest)).limits()
    project = await asyncio.to_thread(services.projects.set_limits, name, limits)
    services.keys.forget()
    return json_response(describe_project(project))


@router.put(
    "/{name}/retention",
    summary="Set how long what is kept for a project stays",
    openapi_extra=openapi.body(RetentionRequest, {"retention": "30d"}),
    responses=openapi.answers(ProjectDescription),
)
@requires(Permission.PROJECTS_WRITE, "project.set_retention")
async def set_project_retention(request: Request, name: str) -> Response:
    """Set how long a project's content is kept. What is older is deleted at once; with `nothing`, all of it."""
    body, actor = await parse_body(request, RetentionRequest), caller_of(request).actor
    projects = services_of(request).projects
    project = await asyncio.to_thread(lambda: projects.set_retention(name, body.retention, actor=actor))
    return json_response(describe_project(project))


@router.delete("/{name}", summary="Remove a project with its keys and what is kept for it", status_code=204)
@requires(Permission.PROJECTS_WRITE, "project.remove")
async def remove_project(request: Request, name: str) -> Response:
    """Deletes its files, batches and stored responses. 409 while a batch of it runs. The name stays taken."""
    services, actor = services_of(request), caller_of(request).actor
    await asyncio.to_thread(lambda: services.projects.remove(name, actor=actor))
    services.keys.forget()
    return Response(status_code=204)


def _may_see(caller: Caller, project: str) -> bool:
    return caller.is_of_installation or caller.project == project
