"""POST /v1/messages and /v1/messages/count_tokens."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import openapi
from llmos.gateway.http.error_formats import ErrorFormat
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse, while_connected
from llmos.gateway.services import services_of
from llmos.gateway.wires.anthropic.answers import AnthropicAnswer, MessageEvent, TokenCount
from llmos.gateway.wires.anthropic.errors import error_body
from llmos.gateway.wires.anthropic.fields import CountTokensRequest, MessagesRequest
from llmos.gateway.wires.anthropic.stream import MessageRenderer
from llmos.security.permissions import Permission

router = APIRouter(tags=["inference"])

error_format = ErrorFormat(
    paths=("/v1/messages",), header="anthropic-version", render=error_body, id_header="request-id"
)

_EXAMPLE: dict[str, Any] = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": "What is an operating system?"}],
}


@router.post(
    "/v1/messages",
    summary="Answer a conversation, in Anthropic's format",
    openapi_extra=openapi.body(MessagesRequest, {**_EXAMPLE, "max_tokens": 100}),
    responses=openapi.answers(AnthropicAnswer, MessageEvent),
)
@requires(Permission.INFERENCE)
async def create_message(request: Request) -> AnswerResponse:
    asked = await parse_body(request, MessagesRequest)
    renderer = MessageRenderer(request.state.request_id)
    return AnswerResponse(services_of(request).pipeline, asked.call(caller_of(request)), renderer, stream=asked.stream)


@router.post(
    "/v1/messages/count_tokens",
    summary="Count a prompt's tokens",
    openapi_extra=openapi.body(CountTokensRequest, _EXAMPLE),
    responses=openapi.answers(TokenCount),
)
@requires(Permission.INFERENCE)
async def count_tokens(request: Request) -> Response:
    asked = await parse_body(request, CountTokensRequest)
    return CountResponse(services_of(request).pipeline, asked.call(caller_of(request)))


class CountResponse(Response):
    """Counts a prompt's tokens where the model runs. Gives up when the caller hangs up."""

    def __init__(self, pipeline: Pipeline, call: Call) -> None:
        super().__init__()
        self._pipeline, self._call = pipeline, call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._count(scope, receive, send))

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        num_tokens = await self._pipeline.count(self._call)
        body = msgspec.json.encode(TokenCount(num_tokens))
        await Response(body, media_type="application/json")(scope, receive, send)
