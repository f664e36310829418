"""POST /api/chat."""

from fastapi import APIRouter, Request, Response

from llmos.gateway.http import openapi
from llmos.gateway.http.ignored import ignored_fields
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
    summary="Answer a conversation (Ollama)",
    openapi_extra=openapi.body(
        OllamaChatRequest, {"model": "dialogue", "messages": [{"role": "user", "content": "Hello!"}], "stream": False}
    ),
    responses=openapi.answers(OllamaChatAnswer, OllamaChatAnswer, MEDIA_TYPE),
)
@requires(Permission.INFERENCE)
async def ollama_chat(request: Request) -> Response:
    body = await parse_body(request, OllamaChatRequest)
    pipeline, caller = services_of(request).pipeline, caller_of(request)
    model, must_unload = strip_latest(body.model), body.must_unload
    if not body.messages:
        body.check_fields()
        fields = await load_or_unload(pipeline, model, caller, must_unload)
        return json_response(OllamaChatAnswer(**fields, message=render_message()))
    body.check_unload(caller)
    call = body.call(caller)
    await body.check(pipeline, ignored_fields(request.scope))
    return OllamaResponse(pipeline, call, OllamaChatRenderer(), stream=body.stream, must_unload=must_unload)
