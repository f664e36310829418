"""/v1/vector_stores: files that are searched by words and meaning."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.clock import utc_now
from llmos.data.vector_stores.records import Attachment, VectorStore
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body, parse_query
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.vector_store_sync import end_abandoned, sync_later
from llmos.gateway.wires.openai.vector_stores.answers import (
    VectorStoreDeleted,
    VectorStoreObject,
    VectorStoreObjects,
    VectorStoreSearchPage,
    render_result,
    render_store,
)
from llmos.gateway.wires.openai.vector_stores.fields import (
    VectorStoreRequest,
    VectorStoreSearchRequest,
    VectorStoresQuery,
    VectorStoreUpdate,
)
from llmos.gateway.wires.openai.vector_stores.searching import VectorStoreSearch, Wanted
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])


@router.post(
    "",
    summary="Create a vector store",
    openapi_extra=openapi.body(VectorStoreRequest, {"name": "FAQ"}),
    responses=openapi.answers(VectorStoreObject),
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.create")
async def create_vector_store(request: Request) -> Response:
    """Its files are read by a job; until then they are `in_progress`."""
    body = await parse_body(request, VectorStoreRequest)
    services, caller = services_of(request), caller_of(request)
    stores = services.data.vector_stores

    def create() -> VectorStore:
        store = stores.create(
            caller.project,
            name=body.name,
            metadata=body.metadata,
            chunking=body.chunking(),
            expires_after_days=None if body.expires_after is None else body.expires_after.days,
        )
        if body.file_ids:
            attachments = [Attachment(file_id=id) for id in body.file_ids]
            try:
                stores.attach(caller.project, store.id, attachments, is_batch=False)
            except BaseException:
                stores.remove(caller.project, store.id)
                raise
        return stores.get(caller.project, store.id)

    store = await asyncio.to_thread(create)
    if body.file_ids:
        await sync_later(services, caller, store.id)
    return json_response(render_store(store, utc_now()))


@router.get(
    "",
    summary="List the vector stores",
    openapi_extra=openapi.query(VectorStoresQuery),
    responses=openapi.answers(VectorStoreObjects),
)
@requires(Permission.KNOWLEDGE_READ)
async def list_vector_stores(request: Request) -> Response:
    query = parse_query(request, VectorStoresQuery)
    stores = services_of(request).data.vector_stores
    part = await asyncio.to_thread(stores.list, caller_of(request).project, query.page())
    now = utc_now()
    data = [render_store(store, now) for store in part.items]
    return json_response(VectorStoreObjects.of(data, [store.id for store in data], has_more=part.has_more))


@router.get("/{vector_store_id}", summary="Describe a vector store", responses=openapi.answers(VectorStoreObject))
@requires(Permission.KNOWLEDGE_READ)
async def get_vector_store(request: Request, vector_store_id: str) -> Response:
    services, project = services_of(request), caller_of(request).project
    await end_abandoned(services, project, vector_store_id)
    store = await asyncio.to_thread(services.data.vector_stores.get, project, vector_store_id)
    return json_response(render_store(store, utc_now()))


@router.post(
    "/{vector_store_id}",
    summary="Change a vector store",
    openapi_extra=openapi.body(VectorStoreUpdate, {"name": "FAQ"}),
    responses=openapi.answers(VectorStoreObject),
)
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.update")
async def update_vector_store(request: Request, vector_store_id: str) -> Response:
    """`metadata` takes the place of what is there."""
    body = await parse_body(request, VectorStoreUpdate)
    stores = services_of(request).data.vector_stores
    store = await asyncio.to_thread(stores.update, caller_of(request).project, vector_store_id, body.changes())
    return json_response(render_store(store, utc_now()))


@router.delete("/{vector_store_id}", summary="Delete a vector store", responses=openapi.answers(VectorStoreDeleted))
@requires(Permission.KNOWLEDGE_WRITE, "vector_store.remove")
async def delete_vector_store(request: Request, vector_store_id: str) -> Response:
    """Its files stay in /v1/files."""
    stores = services_of(request).data.vector_stores
    await asyncio.to_thread(stores.remove, caller_of(request).project, vector_store_id)
    return json_response(VectorStoreDeleted(id=vector_store_id))


@router.post(
    "/{vector_store_id}/search",
    summary="Search a vector store",
    openapi_extra=openapi.body(VectorStoreSearchRequest, {"query": "How long is the guarantee?"}),
    responses=openapi.answers(VectorStoreSearchPage),
)
@requires(Permission.KNOWLEDGE_READ)
async def search_vector_store(request: Request, vector_store_id: str) -> Response:
    """By words and vectors, joined by reciprocal ranks. `score` is the similarity of the vectors."""
    body = await parse_body(request, VectorStoreSearchRequest)
    wanted = Wanted(
        limit=body.max_num_results,
        filters=body.filters,
        score_threshold=body.ranking_options.score_threshold,
    )
    search = VectorStoreSearch(services_of(request), caller_of(request), [vector_store_id], wanted)

    async def work() -> bytes:
        await search.check()
        found = await search.search(body.queries)
        return sse.encode(
            VectorStoreSearchPage(search_query=body.queries, data=[render_result(each) for each in found])
        )

    return WorkResponse(work)
