"""/v1/responses: conversations that the server stores, so that a later request can continue them."""

import asyncio
from typing import TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi import Response as HTTPResponse

from llmos.core.errors import BadRequest, NotFound
from llmos.data.responses import KeptResponse
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.ignored import ignored_fields
from llmos.gateway.http.pages import index_of
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, convert, parse_body
from llmos.gateway.http.sse import AnswerResponse, WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.passages import SearchFiles
from llmos.gateway.wires.openai.responses import file_search
from llmos.gateway.wires.openai.responses.answers import (
    Compaction,
    InputTokens,
    Response,
    ResponseDeleted,
    ResponseEvent,
    ResponseItems,
)
from llmos.gateway.wires.openai.responses.compaction import compacted
from llmos.gateway.wires.openai.responses.fields import (
    EFFECTIVE,
    INCLUDABLE,
    ItemQuery,
    ResponseQuery,
    ResponseRequest,
    not_includable,
)
from llmos.gateway.wires.openai.responses.file_search import FileSearchTool, without_results
from llmos.gateway.wires.openai.responses.items import Item, parse_items
from llmos.gateway.wires.openai.responses.replay import replay
from llmos.gateway.wires.openai.responses.rounds import Rounds
from llmos.gateway.wires.openai.responses.searching import Searching
from llmos.gateway.wires.openai.responses.stream import ResponseRenderer
from llmos.gateway.wires.openai.responses.usage import render_usage
from llmos.gateway.wires.openai.vector_stores.searching import VectorStoreSearch, Wanted
from llmos.security.permissions import Permission

R = TypeVar("R", bound=RequestObject)

router = APIRouter(prefix="/v1/responses", tags=["inference"])


@router.post(
    "",
    summary="Create a response",
    openapi_extra=openapi.body(ResponseRequest, {"model": "dialogue", "input": "What is an operating system?"}),
    responses=openapi.answers(Response, ResponseEvent),
)
@requires(Permission.INFERENCE)
async def create_response(request: Request) -> AnswerResponse:
    body, history, items = await _parse(request)
    services, caller = services_of(request), caller_of(request)
    if set(body.include) - EFFECTIVE:
        ignored_fields(request.scope).add("include")

    if body.store:
        # A project that stores nothing gets `"store": false` in its response.
        body.store = await asyncio.to_thread(services.data.responses.keeps, caller.project)

    async def store(id: str, response: bytes) -> None:
        conversation = msgspec.json.encode([*history, *items])
        stored = KeptResponse(
            id=id,
            body=response.decode(),
            items=conversation.decode(),
            users=body.users(),
            previous_id=body.previous_response_id,
        )
        await asyncio.to_thread(services.data.responses.keep, caller.project, stored)

    call, rounds = body.call(history, items, caller), Rounds(services.pipeline)
    searching = None
    if (tool := body.file_search) is not None:
        search = await open_file_search(request, tool)
        searching = Searching(body, [*history, *items], call, rounds, search)
    renderer = ResponseRenderer(body, store if body.store else None, searching)
    return AnswerResponse(rounds, call, renderer, stream=body.stream)


@router.post(
    "/input_tokens",
    summary="Count the input tokens of a response",
    openapi_extra=openapi.body(ResponseRequest, {"model": "dialogue", "input": "What is an operating system?"}),
    responses=openapi.answers(InputTokens),
)
@requires(Permission.INFERENCE)
async def count_input_tokens(request: Request) -> HTTPResponse:
    body, history, items = await _parse(request)
    call = body.call(history, items, caller_of(request))
    return json_response(InputTokens(await services_of(request).pipeline.count(call)))


@router.post(
    "/compact",
    summary="Replace a conversation by a summary",
    openapi_extra=openapi.body(ResponseRequest, {"model": "dialogue", "input": "What is an operating system?"}),
    responses=openapi.answers(Compaction),
)
@requires(Permission.INFERENCE)
async def compact_response(request: Request) -> WorkResponse:
    body, history, items = await _parse(request)
    call, pipeline = body.compaction_call(history, items, caller_of(request)), services_of(request).pipeline

    async def compact() -> sse.Work:
        async with pipeline.generate(call, is_streamed=False) as answer:
            (choice,) = await answer.read_choices()
            compaction = Compaction(
                id=answer.id,
                created_at=answer.created,
                model=answer.served.ref,
                output=compacted([*history, *items], choice.text.strip()),
                usage=render_usage(answer, num_reasoning_tokens=0),
            )
        return sse.Work(sse.encode(compaction), sse.receipt_headers(answer) | sse.cost_headers(answer))

    return WorkResponse(compact)


@router.get(
    "/{response_id}",
    summary="Return a stored response",
    openapi_extra=openapi.query(ResponseQuery),
    responses=openapi.answers(Response, ResponseEvent),
)
@requires(Permission.INFERENCE)
async def get_response(request: Request, response_id: str) -> HTTPResponse:
    query = _parse_query(request, ResponseQuery)
    if query.starting_after is not None and not query.stream:
        raise BadRequest("`starting_after` requires `stream` to be true.", param="starting_after")
    stored = msgspec.json.decode((await _stored(request, response_id)).body)
    if not _wants_results(request):
        stored["output"] = [without_results(item) for item in stored["output"]]
    if not query.stream:
        return HTTPResponse(sse.encode(stored), media_type="application/json")
    after = -1 if query.starting_after is None else query.starting_after
    events = [event for event in replay(stored) if event["sequence_number"] > after]
    body = b"".join(sse.event(event, event["type"]) for event in events)
    return HTTPResponse(body, media_type="text/event-stream; charset=utf-8")


@router.delete("/{response_id}", summary="Delete a response", responses=openapi.answers(ResponseDeleted))
@requires(Permission.INFERENCE, "response.remove")
async def delete_response(request: Request, response_id: str) -> HTTPResponse:
    services = services_of(request)
    await asyncio.to_thread(services.data.responses.remove, caller_of(request).project, response_id)
    return json_response(ResponseDeleted(response_id))


@router.get(
    "/{response_id}/input_items",
    summary="List the input items of a response",
    openapi_extra=openapi.query(ItemQuery),
    responses=openapi.answers(ResponseItems),
)
@requires(Permission.INFERENCE)
async def list_input_items(request: Request, response_id: str) -> HTTPResponse:
    query = _parse_query(request, ItemQuery)
    items: list[Item] = msgspec.json.decode((await _stored(request, response_id)).items)
    if not _wants_results(request):
        items = [without_results(item) for item in items]
    ids = [item["id"] for item in items]
    if query.order == "desc":
        items, ids = items[::-1], ids[::-1]
    begin = 0 if query.after is None else index_of(ids, query.after, "after") + 1
    end = begin + query.limit
    return json_response(ResponseItems.of(items[begin:end], ids[begin:end], has_more=end < len(items)))


@router.post("/{response_id}/cancel", summary="Cancel a response (not supported)", responses=openapi.answers(Response))
@requires(Permission.INFERENCE)
async def cancel_response(request: Request, response_id: str) -> HTTPResponse:
    await _stored(request, response_id)
    raise BadRequest(
        f"The response {response_id} is complete. Only background responses can be cancelled, and `background` is not"
        " supported. To stop an answer, close the connection.",
        param="response_id",
    )


async def open_file_search(request: Request, tool: FileSearchTool) -> SearchFiles:
    """Return what searches the files of a tool. Raises PermissionDenied, NotFound for an unknown vector store, and
    Conflict for one that has expired."""
    threshold = 0 if tool.ranking_options is None else tool.ranking_options.score_threshold
    wanted = Wanted(limit=tool.max_num_results, filters=tool.filters, score_threshold=threshold)
    search = VectorStoreSearch(services_of(request), caller_of(request), tool.vector_store_ids, wanted)
    await search.check()

    return search.search


async def _parse(request: Request) -> tuple[ResponseRequest, list[Item], list[Item]]:
    """Return the body, the items of the response that it continues, and its own items. Raises BadRequest."""
    body = await parse_body(request, ResponseRequest)
    body.check()
    items = parse_items(body.input)
    return body, await _history(request, body.previous_response_id), items


async def _history(request: Request, previous_id: str | None) -> list[Item]:
    """Return the items of the conversation up to and including the previous response."""
    if previous_id is None:
        return []
    try:
        stored = await _stored(request, previous_id)
    except NotFound as error:
        raise NotFound(error.message, param="previous_response_id") from None
    items: list[Item] = msgspec.json.decode(stored.items)
    output: list[Item] = msgspec.json.decode(stored.body)["output"]
    return items + output


async def _stored(request: Request, id: str) -> KeptResponse:
    services = services_of(request)
    return await asyncio.to_thread(services.data.responses.get, caller_of(request).project, id)


def _wants_results(request: Request) -> bool:
    asked = (value for name, value in request.query_params.multi_items() if name.removesuffix("[]") == "include")
    return file_search.RESULTS in asked


def _parse_query(request: Request, kind: type[R]) -> R:
    """Return the query string as a `kind`. Clients may send `include` as a list, `include[]`."""
    for name, value in request.query_params.multi_items():
        if name.removesuffix("[]") == "include" and value not in INCLUDABLE:
            raise not_includable(value)
    fields = {name.removesuffix("[]"): value for name, value in request.query_params.items()}
    return convert(fields, kind, is_text=True)
