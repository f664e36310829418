"""POST /llmos/v1/generate: one prompt, one text. Client.generate_text calls it."""

from fastapi import APIRouter, Request

from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.llmos.generate.answers import GeneratedAnswer, GeneratedPiece
from llmos.gateway.wires.llmos.generate.fields import GenerateRequest
from llmos.gateway.wires.llmos.generate.stream import GenerateRenderer
from llmos.security.permissions import Permission

router = APIRouter()


@router.post(
    "/llmos/v1/generate",
    tags=["inference"],
    summary="Generate a text",
    openapi_extra=openapi.body(GenerateRequest, {"model": "dialogue", "prompt": "The meaning of life is"}),
    responses=openapi.answers(GeneratedAnswer, GeneratedPiece),
)
@requires(Permission.INFERENCE)
async def generate(request: Request) -> AnswerResponse:
    body = await parse_body(request, GenerateRequest)
    return AnswerResponse(
        services_of(request).pipeline, body.call(caller_of(request)), GenerateRenderer(), stream=body.stream
    )
