"""/v1/files: the input and output files of batches, and documents."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmos.core.errors import BadRequest, NotFound
from llmos.data.files import PURPOSES, UPLOADED
from llmos.gateway.http import openapi
from llmos.gateway.http.content import ContentResponse, attachment
from llmos.gateway.http.multipart import read_form
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import convert, parse_query
from llmos.gateway.services import services_of
from llmos.gateway.vector_store_sync import sync_later
from llmos.gateway.wires.openai.files.answers import FileDeleted, FileObject, FileObjects, render_file
from llmos.gateway.wires.openai.files.fields import MAX_FILE_BYTES, FileQuery, FileUpload
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/files", tags=["files"])

_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(UPLOADED)},
                    },
                }
            }
        },
    }
}


@router.post("", summary="Upload a file", openapi_extra=_UPLOAD, responses=openapi.answers(FileObject))
@requires(Permission.FILES_WRITE, "file.create")
async def upload_file(request: Request) -> Response:
    """`file`: with the purpose `batch`, requests, one JSON object per line; with `assistants` or `user_data`, a
    document for vector stores. It is written to disk while it arrives."""
    services = services_of(request)
    incoming = await asyncio.to_thread(services.data.files.begin)
    is_stored = False
    try:
        form = await read_form(request, "file", incoming.write, MAX_FILE_BYTES)
        # A nested field, such as expires_after[seconds], is rejected by the name of its parent.
        fields = {name.partition("[")[0]: value for name, value in form.fields.items()}
        upload = convert(fields, FileUpload, is_text=True)
        if upload.purpose not in UPLOADED:
            raise BadRequest(
                f"`purpose` is {upload.purpose[:80]!r}; this server accepts files with the purpose"
                f" {', '.join(UPLOADED)}.",
                param="purpose",
            )
        file = await asyncio.to_thread(
            services.data.files.finish,
            incoming,
            tenant=caller_of(request).project,
            purpose=upload.purpose,
            filename=(form.filename or "").replace("\0", ""),
        )
        is_stored = True
    finally:
        if not is_stored:
            incoming.discard()
    return json_response(render_file(file))


@router.get(
    "", summary="List your files", openapi_extra=openapi.query(FileQuery), responses=openapi.answers(FileObjects)
)
@requires(Permission.FILES_READ)
async def list_files(request: Request) -> Response:
    """Accepts `purpose`, `after`, `limit` and `order`."""
    query = parse_query(request, FileQuery)
    if query.purpose is not None and query.purpose not in PURPOSES:
        raise BadRequest(
            f"`purpose` is {query.purpose[:80]!r}; it accepts {' or '.join(PURPOSES)}.",
            param="purpose",
        )
    page = await asyncio.to_thread(
        services_of(request).data.files.list,
        caller_of(request).project,
        purpose=query.purpose,
        after=query.after,
        limit=query.limit,
        newest_first=query.order == "desc",
    )
    files = [render_file(file) for file in page.items]
    return json_response(FileObjects.of(files, [file.id for file in files], has_more=page.has_more))


@router.get("/{file_id}", summary="Describe a file", responses=openapi.answers(FileObject))
@requires(Permission.FILES_READ)
async def get_file(request: Request, file_id: str) -> Response:
    return json_response(
        render_file(await asyncio.to_thread(services_of(request).data.files.get, caller_of(request).project, file_id))
    )


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    responses={200: {"description": "The file", "content": {"application/octet-stream": {}}}},
)
@requires(Permission.FILES_READ)
async def get_file_content(request: Request, file_id: str) -> Response:
    files = services_of(request).data.files
    file = await asyncio.to_thread(files.get, caller_of(request).project, file_id)
    try:
        content = await asyncio.to_thread(files.open, file.id)
    except FileNotFoundError:  # It was deleted at this moment.
        raise NotFound(f"There is no file {file_id!r:.100}.", param="file_id") from None
    headers = {"etag": f'"{file.id}"', "content-disposition": attachment(file.filename)}
    return ContentResponse(content, file.size, request.headers, headers)


@router.delete("/{file_id}", summary="Delete a file", responses=openapi.answers(FileDeleted))
@requires(Permission.FILES_WRITE, "file.remove")
async def delete_file(request: Request, file_id: str) -> Response:
    """It leaves all vector stores."""
    services, caller = services_of(request), caller_of(request)
    await asyncio.to_thread(services.data.files.delete, caller.project, file_id)
    for store in await asyncio.to_thread(services.data.vector_stores.forget_file, caller.project, file_id):
        await sync_later(services, caller, store)
    return json_response(FileDeleted(id=file_id))
