"""POST /api/chat."""

from fastapi import APIRouter, Request, Response

from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.gateway.services import services_of
from llmos.gateway.wires.ollama.chat.answers import OllamaChatAnswer, render_message
from llmos.gateway.wires.ollama.chat.fields import OllamaChatRequest
from llmos.gateway.wires.ollama.chat.stream import OllamaChatRenderer
from llmos.gateway.wires.ollama.fields import strip_latest
from llmos.gateway.wires.ollama.loading import load_or_unload
from llmos.gateway.wires.ollama.stream import MEDIA_TYPE, OllamaResponse
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/api/chat",
    tags=["ollama"],
    summary="Answer a conversation, for Ollama's clients",
    openapi_extra=openapi.body(
        OllamaChatRequest, {"model": "dialogue", "messages": [{"role": "user", "content": "Hello!"}], "stream": False}
    ),
    responses=openapi.answers(OllamaChatAnswer, OllamaChatAnswer, MEDIA_TYPE),
)
@requires(Permission.INFERENCE)
async def ollama_chat(request: Request) -> Response:
    chat = await parse_body(request, OllamaChatRequest)
    pipeline, caller = services_of(request).pipeline, caller_of(request)
    model, must_unload = strip_latest(chat.model), chat.must_unload
    if not chat.messages:
        fields = await load_or_unload(pipeline, model, caller, must_unload)
        return json_response(OllamaChatAnswer(**fields, message=render_message()))
    if must_unload:
        caller.check(Permission.DEPLOYMENTS_WRITE)
    call = chat.call(caller)
    await chat.check(pipeline)
    return OllamaResponse(pipeline, call, OllamaChatRenderer(), stream=chat.stream, must_unload=must_unload)
