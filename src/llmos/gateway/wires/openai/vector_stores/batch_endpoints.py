"""/v1/vector_stores/{id}/file_batches: files that are put into a vector store together."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.data.vector_stores.records import FileBatch
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.gateway.services import services_of
from llmos.gateway.vector_store_sync import end_abandoned, sync_later
from llmos.gateway.wires.openai.vector_stores.answers import (
    VectorStoreFileBatchObject,
    VectorStoreFileObjects,
    render_batch,
)
from llmos.gateway.wires.openai.vector_stores.fields import VectorStoreFileBatchRequest, VectorStoreFilesQuery
from llmos.gateway.wires.openai.vector_stores.file_endpoints import listed_files
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/file_batches", tags=["vector stores"])


@router.post(
    "",
    summary="Put several files into a vector store",
    openapi_extra=openapi.body(VectorStoreFileBatchRequest, {"file_ids": ["file-0123456789abcdef01234567"]}),
    responses=openapi.answers(VectorStoreFileBatchObject),
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.attach")
async def create_file_batch(request: Request, vector_store_id: str) -> Response:
    """At most 2,000 files. One that can't be read fails alone."""
    body = await parse_body(request, VectorStoreFileBatchRequest)
    services, caller = services_of(request), caller_of(request)
    batch, _ = await asyncio.to_thread(
        services.data.vector_stores.attach, caller.project, vector_store_id, body.attachments(), is_batch=True
    )
    assert batch is not None, "it was asked for"
    await sync_later(services, caller, vector_store_id)
    return await _described(request, vector_store_id, batch)


@router.get("/{batch_id}", summary="Describe a batch of files", responses=openapi.answers(VectorStoreFileBatchObject))
@requires(Permission.KNOWLEDGE_READ)
async def get_file_batch(request: Request, vector_store_id: str, batch_id: str) -> Response:
    services, project = services_of(request), caller_of(request).project
    await end_abandoned(services, project, vector_store_id)
    batch = await asyncio.to_thread(services.data.vector_stores.batch, project, vector_store_id, batch_id)
    return await _described(request, vector_store_id, batch)


@router.post(
    "/{batch_id}/cancel", summary="Cancel a batch of files", responses=openapi.answers(VectorStoreFileBatchObject)
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.cancel")
async def cancel_file_batch(request: Request, vector_store_id: str, batch_id: str) -> Response:
    """Its files that are in progress are not searched. Those that are read already stay."""
    services, caller = services_of(request), caller_of(request)
    batch = await asyncio.to_thread(services.data.vector_stores.cancel_batch, caller.project, vector_store_id, batch_id)
    await sync_later(services, caller, vector_store_id)
    return await _described(request, vector_store_id, batch)


@router.get(
    "/{batch_id}/files",
    summary="List the files of a batch",
    openapi_extra=openapi.query(VectorStoreFilesQuery),
    responses=openapi.answers(VectorStoreFileObjects),
)
@requires(Permission.KNOWLEDGE_READ)
async def list_batch_files(request: Request, vector_store_id: str, batch_id: str) -> Response:
    return await listed_files(request, vector_store_id, batch_id)


async def _described(request: Request, vector_store_id: str, batch: FileBatch) -> Response:
    stores, project = services_of(request).data.vector_stores, caller_of(request).project
    store = await asyncio.to_thread(stores.get, project, vector_store_id)
    return json_response(render_batch(store, batch))
