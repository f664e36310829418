"""POST /v1/messages and /v1/messages/count_tokens."""

from typing import Any

from fastapi import APIRouter, Request

from llmos.gateway.http import openapi, sse
from llmos.gateway.http.error_formats import ErrorFormat
from llmos.gateway.http.ignored import ignored_fields
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse, WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.anthropic.answers import AnthropicAnswer, MessageEvent, TokenCount
from llmos.gateway.wires.anthropic.errors import AnthropicError, error_body
from llmos.gateway.wires.anthropic.fields import CountTokensRequest, MessagesRequest
from llmos.gateway.wires.anthropic.stream import MessageRenderer
from llmos.security.permissions import Permission

router = APIRouter(tags=["inference"])

error_format = ErrorFormat(
    paths=("/v1/messages",),
    shared_paths=("/v1/models",),
    header="anthropic-version",
    body=AnthropicError,
    render=error_body,
    id_header="request-id",
)

_BETA = "anthropic-beta"
"""A header that turns features of Anthropic's server on. Those that there are here are always on."""

_EXAMPLE: dict[str, Any] = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": "What is an operating system?"}],
}


@router.post(
    "/v1/messages",
    summary="Create a message",
    openapi_extra=openapi.body(MessagesRequest, {**_EXAMPLE, "max_tokens": 100}),
    responses=openapi.answers(AnthropicAnswer, MessageEvent),
)
@requires(Permission.INFERENCE)
async def create_message(request: Request) -> AnswerResponse:
    body = await parse_body(request, MessagesRequest)
    if _BETA in request.headers:
        ignored_fields(request.scope).add(_BETA)
    renderer = MessageRenderer(request.state.request_id)
    return AnswerResponse(services_of(request).pipeline, body.call(caller_of(request)), renderer, stream=body.stream)


@router.post(
    "/v1/messages/count_tokens",
    summary="Count the tokens of a message",
    openapi_extra=openapi.body(CountTokensRequest, _EXAMPLE),
    responses=openapi.answers(TokenCount),
)
@requires(Permission.INFERENCE)
async def count_tokens(request: Request) -> WorkResponse:
    body = await parse_body(request, CountTokensRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline

    async def count() -> bytes:
        return sse.encode(TokenCount(await pipeline.count(call)))

    return WorkResponse(count)
