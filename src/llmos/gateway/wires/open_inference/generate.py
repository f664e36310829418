"""/v2/models/{model}/generate and generate_stream: Triton's way around tensors, for one text."""

from collections.abc import AsyncGenerator

import msgspec
from fastapi import APIRouter, Request

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import AnswerResponse, Wire
from llmos.gateway.wires.open_inference.fields import TextRequest, error_body, read_parameters, version_number
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v2/models/{model}", tags=["open inference"])


class TextAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer, or one event of a stream, whose last one has the fields after the text."""

    id: str = ""
    model_name: str
    model_version: str
    text_output: str
    finish_reason: FinishReason | None = None
    num_input_tokens: int | None = None
    num_output_tokens: int | None = None


_BODY = openapi.body(TextRequest, {"text_input": "The meaning of life is", "parameters": {"max_tokens": 20}})


@router.post("/generate", summary="Continue a text", openapi_extra=_BODY, responses=openapi.answers(TextAnswer))
@requires(Permission.INFERENCE)
async def generate_text(request: Request, model: str) -> AnswerResponse:
    return await _answer(request, model, stream=False)


@router.post(
    "/generate_stream",
    summary="Continue a text, as it comes",
    openapi_extra=_BODY,
    responses=openapi.answers(TextAnswer),
)
@requires(Permission.INFERENCE)
async def stream_text(request: Request, model: str) -> AnswerResponse:
    return await _answer(request, model, stream=True)


async def _answer(request: Request, model: str, *, stream: bool) -> AnswerResponse:
    asked = await parse_body(request, TextRequest)
    call = read_parameters(asked.parameters, can_stream=stream).call(model, [asked.text_input], caller_of(request))
    return AnswerResponse(services_of(request).pipeline, call, TextWire(asked.id), stream=stream)


class TextWire(Wire):
    """Spells an answer as a TextAnswer, whole or in events."""

    def __init__(self, id: str) -> None:
        self._id = id

    async def whole(self, answer: Answer) -> bytes:
        (choice,) = await answer.whole()
        return sse.encode(self._spelled(answer, choice.text, choice.finish_reason))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async for delta in answer.deltas:
            if delta.text or delta.finish_reason is not None:
                yield sse.event(self._spelled(answer, delta.text, delta.finish_reason))

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        return sse.event(error_body(error))

    def _spelled(self, answer: Answer, text: str, reason: FinishReason | None) -> TextAnswer:
        return TextAnswer(
            id=self._id,
            model_name=answer.served.model,
            model_version=version_number(answer.served),
            text_output=text,
            finish_reason=reason,
            num_input_tokens=None if reason is None else answer.num_prompt_tokens,
            num_output_tokens=None if reason is None else answer.num_completion_tokens,
        )
