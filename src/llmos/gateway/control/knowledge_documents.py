"""/llmos/v1/knowledge/NAME/documents: the documents of a Version, and the passages that citations point to."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.knowledge import Citation, DocumentPage
from llmos.data.knowledge import descriptions as describe
from llmos.gateway.control.knowledge import knowledge_of
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/knowledge", tags=["knowledge"])

_Position = Annotated[int, Meta(ge=0, le=2**53)]


class DocumentsQuery(RequestObject, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: str | None = None
    """The name of a document: only those behind it."""


class PassageQuery(RequestObject, kw_only=True):
    start: _Position = 0
    """In characters of the document's text."""
    end: _Position | None = None
    """Default: the end of the text."""


@router.get(
    "/{name}/documents",
    summary="List the documents of a Version",
    openapi_extra=openapi.query(DocumentsQuery),
    responses=openapi.answers(DocumentPage),
)
@requires(Permission.KNOWLEDGE_READ)
async def list_documents(request: Request, name: str) -> Response:
    """By name. `?after=NAME` continues a list."""
    query = parse_query(request, DocumentsQuery)

    def read() -> DocumentPage:
        knowledge = knowledge_of(request)
        version = knowledge.resolve(name)
        found = knowledge.documents(version, after=query.after, limit=query.limit + 1)
        page = [describe.describe_document(document) for document in found[: query.limit]]
        return DocumentPage(data=page, has_more=len(found) > query.limit)

    return json_response(await asyncio.to_thread(read))


@router.get(
    "/{name}/documents/{document:path}",
    summary="Read the text of a document, or the passage of a citation",
    openapi_extra=openapi.query(PassageQuery),
    responses=openapi.answers(Citation),
)
@requires(Permission.KNOWLEDGE_READ)
async def read_passage(request: Request, name: str, document: str) -> Response:
    """`?start=10&end=90` of a citation give its passage, for as long as the Version exists. The text is in `quote`."""
    query = parse_query(request, PassageQuery)

    def read() -> Citation:
        knowledge = knowledge_of(request)
        place = knowledge.passage(knowledge.resolve(name), document, query.start, query.end)
        return describe.describe_place(place)

    return json_response(await asyncio.to_thread(read))
