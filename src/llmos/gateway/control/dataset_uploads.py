"""/llmos/v1/datasets/uploads and /preview: files that arrive for an import, and what it would do with them."""

import asyncio
from contextlib import ExitStack

from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.core.schemas.datasets import PreviewDescription, UploadDescription
from llmos.data.datasets import descriptions as describe
from llmos.data.datasets.importing import examine
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.ranges import BINARY_BODY, read_range, receive
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.gateway.jobs.kinds.dataset_import import ImportFields, check_import, uploaded_layout
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/dataset-uploads", tags=["datasets"])

_EXAMPLE = {"files": [{"name": "support.jsonl", "digest": f"sha256:{'0' * 64}"}]}


@router.get("/{digest}", summary="Ask how much of a file has arrived", responses=openapi.answers(UploadDescription))
@requires(Permission.DATASETS_WRITE)
async def get_upload(request: Request, digest: str) -> Response:
    """0 bytes for a file that is unknown. `digest` is sha256: and the 64 hexadecimal digits of the file."""
    project, uploads = caller_of(request).project, services_of(request).uploads
    received = await asyncio.to_thread(uploads.num_received, project, digest)
    return json_response(UploadDescription(digest=digest, received_bytes=received))


@router.put(
    "/{digest}",
    summary="Upload a file for an import, or continue its upload",
    openapi_extra=BINARY_BODY,
    responses=openapi.answers(UploadDescription),
)
@requires(Permission.DATASETS_WRITE, "dataset.upload")
async def put_upload(request: Request, digest: str) -> Response:
    """Content-Range gives the bytes of the body, all of the file or a part: `bytes FIRST-LAST/SIZE`, or `bytes */0`.
    Bytes that arrive before the connection breaks are kept. GET tells how many: continue from there. An import removes
    its files; those of no import are removed after a week."""
    found = read_range(request, "file")
    project, uploads = caller_of(request).project, services_of(request).uploads
    with ExitStack() as held:
        part = await asyncio.to_thread(held.enter_context, uploads.receiving(project, digest, found.size))
        received = await receive(request, part, found, digest)
    return json_response(UploadDescription(digest=digest, received_bytes=received))


@router.post(
    "/preview",
    summary="Show what an import of uploaded files would do",
    openapi_extra=openapi.body(ImportFields, _EXAMPLE),
    responses=openapi.answers(PreviewDescription),
)
@requires(Permission.DATASETS_READ)
async def preview_import(request: Request) -> Response:
    """The shape that is recognized, and the first two rows. Keeps nothing. A job of the kind `dataset_import` imports
    them."""
    body = await parse_body(request, ImportFields)
    check_import(body)
    if body.location is not None:
        raise BadRequest("Only uploaded files can be shown before they are imported.", param="location")
    project, uploads = caller_of(request).project, services_of(request).uploads

    def read() -> PreviewDescription:
        layout = uploaded_layout(uploads, project, body)
        return describe.describe_preview(examine(layout, body.options))

    return json_response(await asyncio.to_thread(read))
