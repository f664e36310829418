"""/v1/vector_stores/{id}/files: the files in a vector store."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.errors import Conflict
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.gateway.vector_store_sync import end_abandoned, sync_later
from llmos.gateway.wires.openai.vector_stores.answers import (
    VectorStoreFileContent,
    VectorStoreFileDeleted,
    VectorStoreFileObject,
    VectorStoreFileObjects,
    VectorStoreText,
    render_file,
)
from llmos.gateway.wires.openai.vector_stores.fields import (
    VectorStoreFileRequest,
    VectorStoreFilesQuery,
    VectorStoreFileUpdate,
)
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/files", tags=["vector stores"])


@router.post(
    "",
    summary="Put a file into a vector store",
    openapi_extra=openapi.body(VectorStoreFileRequest, {"file_id": "file-0123456789abcdef01234567"}),
    responses=openapi.answers(VectorStoreFileObject),
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.attach")
async def attach_file(request: Request, vector_store_id: str) -> Response:
    """A job reads it; until then it is `in_progress`. One that is in it takes the new attributes."""
    body = await parse_body(request, VectorStoreFileRequest)
    services, caller = services_of(request), caller_of(request)
    stores = services.data.vector_stores
    await asyncio.to_thread(stores.attach, caller.project, vector_store_id, [body.attachment()], is_batch=False)
    await sync_later(services, caller, vector_store_id)
    return await _described(request, vector_store_id, body.file_id)


@router.get(
    "",
    summary="List the files of a vector store",
    openapi_extra=openapi.query(VectorStoreFilesQuery),
    responses=openapi.answers(VectorStoreFileObjects),
)
@requires(Permission.KNOWLEDGE_READ)
async def list_store_files(request: Request, vector_store_id: str) -> Response:
    return await listed_files(request, vector_store_id)


@router.get("/{file_id}", summary="Describe a file of a vector store", responses=openapi.answers(VectorStoreFileObject))
@requires(Permission.KNOWLEDGE_READ)
async def get_store_file(request: Request, vector_store_id: str, file_id: str) -> Response:
    await end_abandoned(services_of(request), caller_of(request).project, vector_store_id)
    return await _described(request, vector_store_id, file_id)


@router.post(
    "/{file_id}",
    summary="Set the attributes of a file of a vector store",
    openapi_extra=openapi.body(VectorStoreFileUpdate, {"attributes": {"region": "eu"}}),
    responses=openapi.answers(VectorStoreFileObject),
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.update")
async def update_store_file(request: Request, vector_store_id: str, file_id: str) -> Response:
    """Filters compare them as soon as a job has made them part of the index; until then the file is `in_progress`, and
    found by those that it had."""
    body = await parse_body(request, VectorStoreFileUpdate)
    services, caller = services_of(request), caller_of(request)
    stores = services.data.vector_stores
    await asyncio.to_thread(stores.set_attributes, caller.project, vector_store_id, file_id, body.attributes)
    await sync_later(services, caller, vector_store_id)
    return await _described(request, vector_store_id, file_id)


@router.delete(
    "/{file_id}", summary="Take a file out of a vector store", responses=openapi.answers(VectorStoreFileDeleted)
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.detach")
async def detach_file(request: Request, vector_store_id: str, file_id: str) -> Response:
    """No search finds it from now on. It stays in /v1/files."""
    services, caller = services_of(request), caller_of(request)
    await asyncio.to_thread(services.data.vector_stores.detach, caller.project, vector_store_id, file_id)
    await sync_later(services, caller, vector_store_id)
    return json_response(VectorStoreFileDeleted(id=file_id))


@router.get(
    "/{file_id}/content",
    summary="Return the text of a file of a vector store",
    responses=openapi.answers(VectorStoreFileContent),
)
@requires(Permission.KNOWLEDGE_READ)
async def get_store_file_content(request: Request, vector_store_id: str, file_id: str) -> Response:
    """As it was read, in Markdown."""
    services, project = services_of(request), caller_of(request).project

    def read() -> str:
        file = services.data.vector_stores.file(project, vector_store_id, file_id)
        knowledge = services.data.knowledge.of(project)
        version = knowledge.newest(vector_store_id)
        if version is None or not file.is_searchable:
            raise Conflict(f"{file_id} has the status {file.status}: its text isn't there.", param="file_id")
        return knowledge.text(version, file.document).text

    return json_response(VectorStoreFileContent(data=[VectorStoreText(text=await asyncio.to_thread(read))]))


async def listed_files(request: Request, vector_store_id: str, batch: str | None = None) -> Response:
    """Return a page of the files of a vector store, or of one of its batches."""
    query = parse_query(request, VectorStoreFilesQuery)
    services, project = services_of(request), caller_of(request).project
    await end_abandoned(services, project, vector_store_id)
    stores = services.data.vector_stores
    store = await asyncio.to_thread(stores.get, project, vector_store_id)
    part = await asyncio.to_thread(
        stores.files, project, vector_store_id, query.page(), batch=batch, status=query.status()
    )
    data = [render_file(store, file) for file in part.items]
    return json_response(VectorStoreFileObjects.of(data, [file.id for file in data], has_more=part.has_more))


async def _described(request: Request, vector_store_id: str, file_id: str) -> Response:
    stores, project = services_of(request).data.vector_stores, caller_of(request).project
    store = await asyncio.to_thread(stores.get, project, vector_store_id)
    return json_response(render_file(store, await asyncio.to_thread(stores.file, project, vector_store_id, file_id)))
