"""/v1/responses: conversations that the server stores, so that a later request can continue them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi import Response as HTTPResponse

from llmos.core.errors import BadRequest, NotFound
from llmos.data.responses import KeptResponse
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.responses.answers import (
    InputTokens,
    Response,
    ResponseDeleted,
    ResponseEvent,
    ResponseItems,
)
from llmos.gateway.wires.openai.responses.fields import LOGPROBS, ResponseRequest
from llmos.gateway.wires.openai.responses.items import Item, parse_items
from llmos.gateway.wires.openai.responses.stream import ResponseRenderer
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/responses", tags=["inference"])

MAX_LISTED = 100


@router.post(
    "",
    summary="Answer a conversation, and keep it",
    openapi_extra=openapi.body(ResponseRequest, {"model": "dialogue", "input": "What is an operating system?"}),
    responses=openapi.answers(Response, ResponseEvent),
)
@requires(Permission.INFERENCE)
async def create_response(request: Request) -> AnswerResponse:
    services, caller = services_of(request), caller_of(request)
    asked = await parse_body(request, ResponseRequest)
    asked.check()
    items = parse_items(asked.input)
    history = await _history(request, asked.previous_response_id)

    async def keep(id: str, body: bytes) -> None:
        conversation = msgspec.json.encode([*history, *items])
        kept = KeptResponse(id=id, body=body.decode(), items=conversation.decode())
        await asyncio.to_thread(services.responses.keep, caller.project, kept)

    renderer = ResponseRenderer(asked, keep if asked.store else None)
    return AnswerResponse(services.pipeline, asked.call(history, items, caller), renderer, stream=asked.stream)


@router.post(
    "/input_tokens",
    summary="Count what an answer would read",
    openapi_extra=openapi.body(ResponseRequest, {"model": "dialogue", "input": "What is an operating system?"}),
    responses=openapi.answers(InputTokens),
)
@requires(Permission.INFERENCE)
async def count_input_tokens(request: Request) -> HTTPResponse:
    asked = await parse_body(request, ResponseRequest)
    asked.check()
    history = await _history(request, asked.previous_response_id)
    call = asked.call(history, parse_items(asked.input), caller_of(request))
    counted = InputTokens(await services_of(request).pipeline.count(call))
    return HTTPResponse(msgspec.json.encode(counted), media_type="application/json")


@router.get("/{response_id}", summary="Give a response that was kept", responses=openapi.answers(Response))
@requires(Permission.INFERENCE)
async def get_response(request: Request, response_id: str) -> HTTPResponse:
    asked = _query(request, {"include", "stream", "include_obfuscation"})
    _check_include(request)
    if asked.get("stream", "false") != "false":
        raise BadRequest("`stream` is for answers that are made in the background; there are none.", param="stream")
    kept = await _kept(request, response_id)
    return HTTPResponse(kept.body, media_type="application/json")


@router.delete("/{response_id}", summary="Forget a response", responses=openapi.answers(ResponseDeleted))
@requires(Permission.INFERENCE)
async def delete_response(request: Request, response_id: str) -> HTTPResponse:
    services = services_of(request)
    await asyncio.to_thread(services.responses.remove, caller_of(request).project, response_id)
    return HTTPResponse(msgspec.json.encode(ResponseDeleted(response_id)), media_type="application/json")


@router.get("/{response_id}/input_items", summary="List what it answers", responses=openapi.answers(ResponseItems))
@requires(Permission.INFERENCE)
async def list_input_items(request: Request, response_id: str) -> HTTPResponse:
    asked = _query(request, {"after", "limit", "order", "include"})
    _check_include(request)
    limit, order = asked.get("limit", "20"), asked.get("order", "desc")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 4 and 1 <= int(limit) <= MAX_LISTED):
        raise BadRequest(f"`limit` is {limit!r:.40}; it takes 1 to {MAX_LISTED}.", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequest(f"`order` is {order!r:.40}; it takes asc or desc.", param="order")
    kept = await _kept(request, response_id)
    items: list[Item] = msgspec.json.decode(kept.items)
    items = _behind(items if order == "asc" else items[::-1], asked.get("after"))
    page = items[: int(limit)]
    listed = ResponseItems(
        data=page,
        first_id=page[0]["id"] if page else None,
        last_id=page[-1]["id"] if page else None,
        has_more=len(items) > len(page),
    )
    return HTTPResponse(msgspec.json.encode(listed), media_type="application/json")


@router.post("/{response_id}/cancel", summary="Refused: for the background only", responses=openapi.answers(Response))
@requires(Permission.INFERENCE)
async def cancel_response(request: Request, response_id: str) -> HTTPResponse:
    await _kept(request, response_id)
    raise BadRequest(
        f"The response {response_id} is whole. Only one that is made in the background could be cancelled, and"
        " `background` is not supported; to stop an answer, hang up.",
        param="response_id",
    )


async def _history(request: Request, previous_id: str | None) -> list[Item]:
    if previous_id is None:
        return []
    try:
        kept = await _kept(request, previous_id)
    except NotFound as error:
        raise NotFound(error.message, param="previous_response_id") from None
    items: list[Item] = msgspec.json.decode(kept.items)
    output: list[Item] = msgspec.json.decode(kept.body)["output"]
    return items + output


async def _kept(request: Request, id: str) -> KeptResponse:
    services = services_of(request)
    return await asyncio.to_thread(services.responses.get, caller_of(request).project, id)


def _query(request: Request, known: set[str]) -> Mapping[str, Any]:
    for name in request.query_params:
        if name.removesuffix("[]") not in known:
            raise BadRequest(f"There is no parameter `{name}`. There is {', '.join(sorted(known))}.", param=name)
    return request.query_params


def _check_include(request: Request) -> None:
    for name in ("include", "include[]"):
        for each in request.query_params.getlist(name):
            if each != LOGPROBS:
                raise BadRequest(f"`include` can't ask for {each!r:.100}; it takes {LOGPROBS!r}.", param="include")


def _behind(items: list[Item], after: str | None) -> list[Item]:
    if after is None:
        return items
    for place, item in enumerate(items):
        if item["id"] == after:
            return items[place + 1 :]
    raise BadRequest(f"`after` is {after!r:.100}, and there is no such item.", param="after")
