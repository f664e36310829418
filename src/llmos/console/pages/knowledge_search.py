"""Searches of knowledge with their scores, and the document that a citation leads to."""

import shlex
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from llmos.console import CONSOLE_PATH, code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.view import TEMPLATES, View
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.schemas.base import read_description
from llmos.core.schemas.knowledge import Citation, KnowledgeDetails, SearchDescription

MODES = ("hybrid", "text", "vector")

_API = "/llmos/v1/knowledge"
_MOST_HITS = 100


def register(page: Page) -> None:
    page.get("/{ref}/search")(show_search)
    page.get("/{ref}/document")(show_document)


async def show_search(view: View) -> Response:
    ref = view.request.path_params["ref"]
    details = await view.api.read(KnowledgeDetails, f"{_API}/{ref}")
    query, mode = view.query("q")[:16_384], view.query("mode")
    limit = view.query("limit") if view.query("limit").isdecimal() else "10"
    body: dict[str, Any] = {"query": query or "…", "limit": max(1, min(int(limit[:4]), _MOST_HITS))}
    if mode in MODES:
        body["mode"] = mode
    found, problem = None, ""
    if query.strip():
        # A search changes nothing. The server takes it as a POST, which needs the visitor's token.
        view.api.csrf_token = view.session.csrf_token
        try:
            answer = await view.api.post(f"{_API}/{details.version}/search", body)
            found = read_description(SearchDescription, answer)
        except LLMOSError as error:
            problem = error.message
    return view.render(
        "knowledge_search.html",
        details=details,
        query=query,
        mode=body.get("mode", ""),
        limit=body["limit"],
        modes=MODES,
        found=found,
        problem=problem,
        code=code.changing(
            "POST",
            shlex.join(["llmos", "knowledge", "search", details.version, body["query"]]),
            f"{_API}/{details.version}/search",
            body,
            f'for hit in client.knowledge.search("{details.version}", {body["query"]!r}).hits:\n'
            "    print(hit.score, hit.citation.document, hit.text)",
        ),
    )


async def show_document(view: View) -> Response:
    ref, name = view.request.path_params["ref"], view.query("name")
    if not name:
        raise BadRequest(view.t("knowledge.no_document_name"))
    path = f"{_API}/{ref}/documents/{name}"
    whole = await view.api.read(Citation, path)
    start, end = _place(view.query("start"), len(whole.quote)), _place(view.query("end"), len(whole.quote))
    passage = await view.api.read(Citation, path, start=start, end=end) if end > start else None
    return view.render(
        "knowledge_document.html",
        ref=ref,
        name=name,
        document=whole,
        passage=passage,
        before=whole.quote[:start] if passage else "",
        marked=whole.quote[start:end] if passage else "",
        after=whole.quote[end:] if passage else "",
        code=code.reading(
            f"llmos knowledge documents {ref}",
            f"{_API}/{quote_path(ref)}/documents/{quote(name)}",
            f"print(client.knowledge.passage({ref!r}, {name!r}).quote)",
        ),
    )


def passage_path(ref: str, document: str, start: int | None = None, end: int | None = None) -> str:
    """Return the address of a document, or of a passage in it."""
    query: dict[str, Any] = {"name": document}
    if start is not None and end is not None:
        query |= {"start": start, "end": end}
    return f"{CONSOLE_PATH}/knowledge/{quote_path(ref)}/document?{urlencode(query)}"


TEMPLATES.globals["passage_path"] = passage_path


def _place(text: str, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 16 else 0
