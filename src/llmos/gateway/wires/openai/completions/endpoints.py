"""POST /v1/completions: continues texts or tokens, without a chat template."""

from fastapi import APIRouter, Request

from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.completions.answers import Completion
from llmos.gateway.wires.openai.completions.fields import CompletionRequest
from llmos.gateway.wires.openai.completions.stream import CompletionRenderer
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/v1/completions",
    tags=["inference"],
    summary="Create a text completion",
    openapi_extra=openapi.body(CompletionRequest, {"model": "dialogue", "prompt": "The meaning of life is"}),
    responses=openapi.answers(Completion, Completion),
)
@requires(Permission.INFERENCE)
async def create_completion(request: Request) -> AnswerResponse:
    body = await parse_body(request, CompletionRequest)
    renderer = CompletionRenderer(
        num_logprobs=body.logprobs,
        echoes_logprobs=body.echoes_logprobs,
        num_prompt_logprobs=body.prompt_logprobs,
        wants_usage_event=body.wants_usage_event,
    )
    return AnswerResponse(services_of(request).pipeline, body.call(caller_of(request)), renderer, stream=body.stream)
