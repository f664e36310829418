"""/llmos/v1/knowledge-uploads: files that arrive for knowledge, and which of them aren't here yet."""

import asyncio
from typing import Annotated, ClassVar

from fastapi import Request, Response
from msgspec import Meta

from llmos.core.schemas.knowledge import MissingFiles
from llmos.data.knowledge.sources import is_document_name
from llmos.gateway.control.knowledge import knowledge_of
from llmos.gateway.control.uploads_router import uploads_router
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.jobs.kinds.knowledge_sync import UPLOADS
from llmos.security.permissions import Permission

router = uploads_router(UPLOADS, "knowledge", Permission.KNOWLEDGE_WRITE, tag="knowledge")


class FileToAdd(RequestObject, kw_only=True):
    name: str
    """The name that the document will have."""
    digest: str
    """sha256:<hex> of the file."""


class FilesToAdd(RequestObject, kw_only=True):
    lists: ClassVar = {"files": FileToAdd}

    files: Annotated[list[FileToAdd], Meta(max_length=1000)]


@router.post(
    "/missing",
    summary="Ask which files have to be uploaded",
    openapi_extra=openapi.body(FilesToAdd, {"files": [{"name": "faq.md", "digest": f"sha256:{'0' * 64}"}]}),
    responses=openapi.answers(MissingFiles),
)
@requires(Permission.KNOWLEDGE_READ)
async def find_missing_files(request: Request) -> Response:
    """Returns the files that no document of the project was made of, so that a sync sends only changed files."""
    body = await parse_body(request, FilesToAdd)

    def find() -> MissingFiles:
        knowledge = knowledge_of(request)
        files = [each for each in body.files if is_document_name(each.name)]
        missing = [each.digest for each in files if knowledge.find_document(each.name, each.digest) is None]
        others = [each.name for each in body.files if not is_document_name(each.name)]
        return MissingFiles(digests=list(dict.fromkeys(missing)), other_files=others)

    return json_response(await asyncio.to_thread(find))
