"""POST /v2/models/{model}/generate and generate_stream: Triton's extension for one text without tensors."""

from fastapi import APIRouter, Request

from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.open_inference.fields import read_parameters
from llmos.gateway.wires.open_inference.generate.answers import TextAnswer
from llmos.gateway.wires.open_inference.generate.fields import TextRequest
from llmos.gateway.wires.open_inference.generate.stream import TextRenderer
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v2/models/{model:path}", tags=["open inference"])

_BODY = openapi.body(TextRequest, {"text_input": "The meaning of life is", "parameters": {"max_tokens": 20}})


@router.post("/generate", summary="Continue a text", openapi_extra=_BODY, responses=openapi.answers(TextAnswer))
@requires(Permission.INFERENCE)
async def generate_text(request: Request, model: str) -> AnswerResponse:
    return await _answer(request, model, stream=False)


@router.post(
    "/generate_stream",
    summary="Continue a text, streamed",
    openapi_extra=_BODY,
    responses=openapi.answers(TextAnswer, event=TextAnswer),
)
@requires(Permission.INFERENCE)
async def stream_text(request: Request, model: str) -> AnswerResponse:
    return await _answer(request, model, stream=True)


async def _answer(request: Request, model: str, *, stream: bool) -> AnswerResponse:
    body = await parse_body(request, TextRequest)
    call = read_parameters(body.parameters, can_stream=stream).call(model, [body.text_input], caller_of(request))
    return AnswerResponse(services_of(request).pipeline, call, TextRenderer(body.id), stream=stream)
