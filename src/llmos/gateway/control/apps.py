"""/llmos/v1/apps: the applications of the key's project: Versions of their folders."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from llmos.core.app_files import MAX_ARCHIVE_BYTES, pack, unpack
from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.descriptions import describe_removal
from llmos.data.app_versions import descriptions as describe
from llmos.data.app_versions.app_versions import ProjectApps
from llmos.data.app_versions.comparing import compare
from llmos.data.app_versions.reading import read_content
from llmos.data.app_versions.versions import AppContent
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, body_chunks, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/apps", tags=["apps"])

T = TypeVar("T")

ARCHIVE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_HELD_BYTES = 1 << 20
"""Archives up to this size stay in memory."""


class AppDescriptions(msgspec.Struct):
    data: list[AppDescription]


class AppDiffQuery(RequestObject, kw_only=True):
    to: str
    """The newer Version."""


def apps_of(request: Request) -> ProjectApps:
    """Return the applications of the caller's project."""
    return services_of(request).data.app_versions.of(caller_of(request).project)


class AppArchiveQuery(RequestObject, kw_only=True):
    environment: str = ""
    """The environment of app.yaml whose values the Version has."""


@router.post(
    "",
    summary="Make a Version of an application",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": ARCHIVE}, **openapi.query(AppArchiveQuery)},
    responses=openapi.answers(AppVersionDescription, status=201),
)
@requires(Permission.APPS_DEPLOY, "app.create")
async def create_app_version(request: Request) -> Response:
    """The body is a tar archive of the folder's files, app.yaml at its top: `tar -c -C FOLDER .` makes one. The same
    files are the same Version, which is returned again. Each file in prompts/ becomes a Version of a prompt, too.
    Nothing is run."""
    apps, actor = apps_of(request), caller_of(request).actor

    def create(content: AppContent) -> AppVersionDescription:
        version = apps.create(content, actor=actor)
        return describe.describe_details(apps.show(version.ref))

    return json_response(await with_archive(request, create), 201)


async def with_archive(request: Request, use: Callable[[AppContent], T]) -> T:
    """Return what a function makes, in a thread, of the application whose archive is the body."""
    environment = parse_query(request, AppArchiveQuery).environment
    # A spooled file has no name, so that a killed server leaves nothing of it.
    with tempfile.SpooledTemporaryFile(max_size=_HELD_BYTES) as archive:
        async for chunk in body_chunks(request, MAX_ARCHIVE_BYTES, "application"):
            await asyncio.to_thread(archive.write, chunk)

        def read() -> T:
            return use(read_content(lambda: _files_of(archive), [*Permission], environment))

        return await asyncio.to_thread(read)


@router.get("", summary="List the applications", responses=openapi.answers(AppDescriptions))
@requires(Permission.APPS_READ)
async def list_apps(request: Request) -> Response:
    """Every Version of the project's applications."""

    def read() -> AppDescriptions:
        apps = apps_of(request)
        versions = apps.list()
        labels = apps.labels_of(versions)
        return AppDescriptions([describe.describe_version(version, labels) for version in versions])

    return json_response(await asyncio.to_thread(read))


@router.get("/{name}", summary="Describe a Version of an application", responses=openapi.answers(AppVersionDescription))
@requires(Permission.APPS_READ)
async def get_app(request: Request, name: str) -> Response:
    """`name` is NAME (the newest Version), NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""
    return json_response(describe.describe_details(await asyncio.to_thread(apps_of(request).show, name)))


@router.get(
    "/{name}/files",
    summary="Download the files of a Version",
    response_class=Response,
    responses={200: {"description": "A tar archive", "content": ARCHIVE}},
)
@requires(Permission.APPS_READ)
async def get_app_files(request: Request, name: str) -> Response:
    """As an archive, the same that a Version is made of."""
    apps = apps_of(request)
    version = await asyncio.to_thread(apps.resolve, name)
    return StreamingResponse(
        pack(apps.contents(version)),
        media_type="application/x-tar",
        headers={"Content-Disposition": f'attachment; filename="{version.app}-{version.number}.tar"'},
    )


@router.get(
    "/{name}/diff",
    summary="Compare two Versions of an application",
    openapi_extra=openapi.query(AppDiffQuery),
    responses=openapi.answers(AppDifference),
)
@requires(Permission.APPS_READ)
async def compare_apps(request: Request, name: str) -> Response:
    """Their files, the fields of app.yaml, and what the variables of their prompts take."""
    query = parse_query(request, AppDiffQuery)

    def read() -> AppDifference:
        apps = apps_of(request)
        return compare(apps.files(apps.resolve(name)), apps.files(apps.resolve(query.to)))

    return json_response(await asyncio.to_thread(read))


@router.delete(
    "/{name}", summary="Remove an application, or one Version", responses=openapi.answers(RemovalDescription)
)
@requires(Permission.APPS_DEPLOY, "app.remove")
async def remove_app(request: Request, name: str) -> Response:
    """409 for a Version that is deployed, or that an alias points at. Prompts that came with it stay."""
    remove = partial(apps_of(request).remove, name, actor=caller_of(request).actor)
    return json_response(describe_removal(await asyncio.to_thread(remove)))


def _files_of(archive: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    archive.seek(0)
    return unpack(archive)
