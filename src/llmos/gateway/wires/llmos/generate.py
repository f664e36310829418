"""POST /llmos/v1/generate: one prompt, one text. What Client.generate_text uses."""

from collections.abc import AsyncGenerator
from typing import Annotated, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request

from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import Int64, Unsupported, parse_body
from llmos.gateway.http.sse import AnswerResponse, Wire
from llmos.gateway.wires.openai.answers import Usage, usage
from llmos.gateway.wires.openai.fields import SamplingFields
from llmos.gateway.wires.openai.response_format import Format
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()


class GenerateRequest(SamplingFields, kw_only=True):
    model: str
    """A Route or a model: GET /llmos/v1/models lists them."""
    prompt: str
    raw: bool = False
    """Continue the prompt as it stands. Otherwise it is what a user says, wherever the model has a chat template."""
    max_tokens: Annotated[int, Int64] | None = None
    """Without it, as many as the context window has room for."""
    stream: bool = False
    format: Format | None = None
    """What the text must be."""

    objects: ClassVar = {"format": Format}
    unsupported: ClassVar = {
        "response_format": Unsupported('its name is `format`: {"json_schema": …}.', ({"type": "text"},)),
        "n": Unsupported("there is one text an answer. /v1/completions gives several.", (1,)),
        "messages": Unsupported("this takes a `prompt`. /v1/chat/completions takes messages."),
        "logprobs": Unsupported("/v1/completions gives them.", (False,)),
        "echo": Unsupported("/v1/completions gives it.", (False,)),
    }

    def call(self, caller: Caller) -> Call:
        prompt = Prompt(text=self.prompt) if self.raw else Prompt(user_text=self.prompt)
        return Call(
            model=self.model,
            prompts=[prompt],
            sampling=self.sampling(max_tokens=self.max_tokens),
            grammar=self.format.grammar() if self.format is not None else None,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="gen",
        )


class GeneratedAnswer(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["answer"] = "answer"
    text: str
    model: str
    """The name that was asked."""
    version: str
    """The Version that really answered, such as smollm2@1."""
    digest: str | None
    """null for a model that a provider runs."""
    finish_reason: FinishReason
    usage: Usage


class GeneratedPiece(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a stream. The fields after the text are in the last one."""

    id: str
    text: str
    model: str | None = None
    version: str | None = None
    digest: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@router.post(
    "/llmos/v1/generate",
    tags=["inference"],
    summary="Answer a prompt",
    openapi_extra=openapi.body(GenerateRequest, {"model": "dialogue", "prompt": "The meaning of life is"}),
    responses=openapi.answers(GeneratedAnswer, GeneratedPiece),
)
@requires(Permission.INFERENCE)
async def generate(request: Request) -> AnswerResponse:
    asked = await parse_body(request, GenerateRequest)
    return AnswerResponse(
        services_of(request).pipeline, asked.call(caller_of(request)), GenerateWire(), stream=asked.stream
    )


class GenerateWire(Wire):
    """Spells an answer as a GeneratedAnswer, or as GeneratedPiece events."""

    async def whole(self, answer: Answer) -> bytes:
        (choice,) = await answer.whole()
        return sse.encode(
            GeneratedAnswer(
                id=answer.id,
                text=choice.text,
                model=answer.call.model,
                version=answer.served.ref,
                digest=answer.served.digest,
                finish_reason=choice.finish_reason,
                usage=usage(answer),
            )
        )

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        opening = b'data: {"id":%b,"text":' % sse.encode(answer.id)
        async for delta in answer.deltas:
            if delta.finish_reason is None:
                if delta.text:
                    yield opening + sse.encode(delta.text) + b"}\n\n"
                continue
            yield sse.event(
                GeneratedPiece(
                    id=answer.id,
                    text=delta.text,
                    model=answer.call.model,
                    version=answer.served.ref,
                    digest=answer.served.digest,
                    finish_reason=delta.finish_reason,
                    usage=usage(answer),
                )
            )
