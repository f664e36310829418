"""Endpoints of uploads: files that arrive in parts, before a job works on them.

router = uploads_router("/llmos/v1/dataset-uploads", "dataset", Permission.DATASETS_WRITE)
"""

import asyncio
from contextlib import ExitStack

from fastapi import APIRouter, Request, Response

from llmos.core.schemas.datasets import UploadDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.ranges import BINARY_BODY, read_range, receive
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission


def uploads_router(path: str, prefix: str, write: Permission, *, tag: str) -> APIRouter:
    """Return the endpoints of uploads at a path.

    `prefix`: what the names of the actions and operations begin with: "dataset", as in dataset.upload. `tag`: the
    section of the API document.
    """
    router = APIRouter(prefix=path, tags=[tag])
    answers = openapi.answers(UploadDescription)
    router.get(
        "/{digest}", name=f"get_{prefix}_upload", summary="Ask how much of a file has arrived", responses=answers
    )(requires(write)(_get))
    router.put(
        "/{digest}",
        name=f"put_{prefix}_upload",
        summary="Upload a file, or continue its upload",
        openapi_extra=BINARY_BODY,
        responses=answers,
    )(requires(write, f"{prefix}.upload")(_put))
    return router


async def _get(request: Request, digest: str) -> Response:
    """0 bytes for a file that is unknown. `digest` is sha256: and the 64 hexadecimal digits of the file."""
    project, uploads = caller_of(request).project, services_of(request).data.uploads
    received = await asyncio.to_thread(uploads.num_received, project, digest)
    return json_response(UploadDescription(digest=digest, received_bytes=received))


async def _put(request: Request, digest: str) -> Response:
    """Content-Range gives the bytes of the body, all of the file or a part: `bytes FIRST-LAST/SIZE`, or `bytes */0`.
    Bytes that arrive before the connection breaks are kept. GET tells how many: continue from there. The job that
    takes the files removes them; those of no job are removed after a week."""
    found = read_range(request, "file")
    project, uploads = caller_of(request).project, services_of(request).data.uploads
    with ExitStack() as held:
        part = await asyncio.to_thread(held.enter_context, uploads.receiving(project, digest, found.size))
        received = await receive(request, part, found, digest)
    return json_response(UploadDescription(digest=digest, received_bytes=received))
