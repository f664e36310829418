"""/llmos/v1/knowledge: the knowledge of the key's project: Versions and searches."""

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.knowledge import KnowledgeDescription, KnowledgeDetails, SearchDescription
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.descriptions import describe_removal
from llmos.data.knowledge import descriptions as describe
from llmos.data.knowledge.adding import remove_documents
from llmos.data.knowledge.evaluations import get_report
from llmos.data.knowledge.index import Mode
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.knowledge_search import MAX_LIMIT, MAX_QUERY, Search
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/knowledge", tags=["knowledge"])


class KnowledgeDescriptions(msgspec.Struct):
    data: list[KnowledgeDescription]


class SearchRequest(RequestObject, kw_only=True):
    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY)]
    """A question, or words."""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 10
    """The most passages to return."""
    mode: Mode | None = None
    """`text` searches for the words alone, `vector` for the meaning alone, `hybrid` for both. null: the best one by the
    Version's evaluation, or `hybrid`."""
    filters: dict[str, Any] | None = None
    """On the metadata of documents: {"type": "eq", "key": "region", "value": "eu"}."""
    documents: list[str] | None = None
    """Search only in these."""
    reranker: str | None = None
    """A model that orders the passages by how well they answer the query."""


class DocumentsRemoval(RequestObject, kw_only=True):
    documents: Annotated[list[str], Meta(min_length=1, max_length=10_000)]
    """The names of documents of the newest Version."""


def knowledge_of(request: Request) -> ProjectKnowledge:
    """Return the knowledge of the caller's project."""
    return services_of(request).data.knowledge.of(caller_of(request).project)


@router.get("", summary="List the knowledge", responses=openapi.answers(KnowledgeDescriptions))
@requires(Permission.KNOWLEDGE_READ)
async def list_knowledge(request: Request) -> Response:
    """Every Version of the project's knowledge."""

    def read() -> KnowledgeDescriptions:
        knowledge = knowledge_of(request)
        versions = knowledge.list()
        labels = knowledge.labels_of(versions)
        return KnowledgeDescriptions([describe.describe_version(version, labels) for version in versions])

    return json_response(await asyncio.to_thread(read))


@router.get("/{name}", summary="Describe a Version of knowledge", responses=openapi.answers(KnowledgeDetails))
@requires(Permission.KNOWLEDGE_READ)
async def get_knowledge(request: Request, name: str) -> Response:
    """`name` is NAME (the newest Version), NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""
    return json_response(describe.describe_details(await asyncio.to_thread(knowledge_of(request).show, name)))


@router.delete("/{name}", summary="Remove knowledge, or one Version", responses=openapi.answers(RemovalDescription))
@requires(Permission.KNOWLEDGE_WRITE, "knowledge.remove")
async def remove_knowledge(request: Request, name: str) -> Response:
    """409 for a Version that an alias points at."""
    remove = partial(knowledge_of(request).remove, name, actor=caller_of(request).actor)
    return json_response(describe_removal(await asyncio.to_thread(remove)))


@router.post(
    "/{name}/search",
    summary="Search knowledge",
    openapi_extra=openapi.body(SearchRequest, {"query": "How long is the guarantee?"}),
    responses=openapi.answers(SearchDescription),
)
@requires(Permission.KNOWLEDGE_READ)
async def search_knowledge(request: Request, name: str) -> Response:
    """By words and by meaning, the best passages first, each with its citation. `answerable` says whether the Version
    has an answer, where a threshold was measured for it."""
    body = await parse_body(request, SearchRequest)
    knowledge = knowledge_of(request)
    version = await asyncio.to_thread(knowledge.resolve, name)
    search = Search(
        query=body.query,
        limit=body.limit,
        mode=body.mode,
        filters=body.filters,
        documents=body.documents,
        reranker=body.reranker,
    )
    return json_response(
        await services_of(request).knowledge_search.answer(knowledge, version, search, caller_of(request))
    )


@router.get(
    "/{name}/evaluation",
    summary="Return the last evaluation of a Version",
    responses=openapi.answers(KnowledgeEvalDescription),
)
@requires(Permission.KNOWLEDGE_READ)
async def get_evaluation(request: Request, name: str) -> Response:
    """A job of the kind `knowledge_eval` makes it, and with it the threshold below which a search has no answer."""
    knowledge = knowledge_of(request)

    def read() -> KnowledgeEvalDescription:
        return get_report(knowledge, knowledge.resolve(name))

    return json_response(await asyncio.to_thread(read))


@router.post(
    "/{name}/remove-documents",
    summary="Make a Version without some documents",
    openapi_extra=openapi.body(DocumentsRemoval, {"documents": ["old.pdf"]}),
    responses=openapi.answers(KnowledgeDescription),
)
@requires(Permission.KNOWLEDGE_WRITE, "knowledge.remove_documents")
async def remove_from_knowledge(request: Request, name: str) -> Response:
    """Remove documents from the newest Version. The Versions before keep the documents."""
    body = await parse_body(request, DocumentsRemoval)
    knowledge, actor = knowledge_of(request), caller_of(request).actor

    def remove() -> KnowledgeDescription:
        made = remove_documents(knowledge, name, body.documents, actor=actor)
        return describe.describe_version(made, knowledge.labels_of([made]))

    return json_response(await asyncio.to_thread(remove))
