"""POST /api/generate: one prompt, one text."""

from fastapi import APIRouter, Request, Response

from llmos.gateway.http import openapi
from llmos.gateway.http.ignored import ignored_fields
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.gateway.services import services_of
from llmos.gateway.wires.ollama.fields import strip_latest
from llmos.gateway.wires.ollama.generate.answers import OllamaText
from llmos.gateway.wires.ollama.generate.fields import OllamaGenerateRequest
from llmos.gateway.wires.ollama.generate.stream import OllamaTextRenderer
from llmos.gateway.wires.ollama.loading import load_or_unload
from llmos.gateway.wires.ollama.stream import MEDIA_TYPE, OllamaResponse
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/api/generate",
    tags=["ollama"],
    summary="Answer a prompt (Ollama)",
    openapi_extra=openapi.body(OllamaGenerateRequest, {"model": "dialogue", "prompt": "Hello!", "stream": False}),
    responses=openapi.answers(OllamaText, OllamaText, MEDIA_TYPE),
)
@requires(Permission.INFERENCE)
async def ollama_generate(request: Request) -> Response:
    body = await parse_body(request, OllamaGenerateRequest)
    pipeline, caller = services_of(request).pipeline, caller_of(request)
    model, must_unload = strip_latest(body.model), body.must_unload
    if not body.prompt:
        body.check_fields()
        return json_response(OllamaText(**await load_or_unload(pipeline, model, caller, must_unload), response=""))
    body.check_unload(caller)
    call = body.call(caller)
    await body.check(pipeline, ignored_fields(request.scope))
    return OllamaResponse(pipeline, call, OllamaTextRenderer(), stream=body.stream, must_unload=must_unload)
