"""POST /v1/chat/completions."""

from fastapi import APIRouter, Request

from llmos.gateway.calls.applications import app_of
from llmos.gateway.http import openapi
from llmos.gateway.http.ignored import ignored_fields
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.chat.answers import ChatCompletion, ChatCompletionChunk
from llmos.gateway.wires.openai.chat.fields import ChatRequest
from llmos.gateway.wires.openai.chat.stream import ChatRenderer
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/v1/chat/completions",
    tags=["inference"],
    summary="Create a chat completion",
    openapi_extra=openapi.body(
        ChatRequest, {"model": "dialogue", "messages": [{"role": "user", "content": "What is an operating system?"}]}
    ),
    responses=openapi.answers(ChatCompletion, ChatCompletionChunk),
)
@requires(Permission.INFERENCE)
async def create_chat_completion(request: Request) -> AnswerResponse:
    body = await parse_body(request, ChatRequest)
    call = body.call(caller_of(request))
    if body.metadata and app_of(body.model) is None:
        ignored_fields(request.scope).add("metadata")
    renderer = ChatRenderer(
        wants_logprobs=body.logprobs,
        num_prompt_logprobs=body.prompt_logprobs,
        wants_usage_event=body.wants_usage_event,
        may_call=call.tools is not None,
    )
    return AnswerResponse(services_of(request).pipeline, call, renderer, stream=body.stream)
