"""POST /api/generate, in Ollama's wire format: one prompt, one text."""

from collections.abc import AsyncGenerator
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import Unsupported, parse_body
from llmos.gateway.wires.ollama.answers import (
    MEDIA_TYPE,
    Line,
    Lines,
    LinesResponse,
    ending,
    line,
    load_or_unload,
    piece,
)
from llmos.gateway.wires.ollama.fields import NO_IMAGES, RunFields, plain_name
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()

_NO_PICTURES = Unsupported("the models here write text. Leave it out.")


class OllamaGenerateRequest(RunFields, kw_only=True):
    prompt: str = ""
    """What a user says. Without it, the model is loaded, or stopped where keep_alive is 0."""
    system: str = ""
    raw: bool = False
    """Continue the prompt as it stands, without the model's chat template."""

    unsupported: ClassVar = {
        **RunFields.unsupported,
        "suffix": Unsupported("the model can't write towards a given end. Leave it out.", ("",)),
        "template": Unsupported(
            "a model's own template is used. Send a whole prompt with `raw` set to true instead.", ("",)
        ),
        "context": Unsupported("send the conversation as messages to /api/chat instead.", ([],)),
        "images": NO_IMAGES,
        "width": _NO_PICTURES,
        "height": _NO_PICTURES,
        "steps": _NO_PICTURES,
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        for name in ("system", "think"):
            if self.raw and getattr(self, name):
                raise BadRequest(
                    f"`raw` and `{name}` don't go together: no template is there to know it. Leave one of them out.",
                    param=name,
                )
        return Call(
            model=plain_name(self.model),
            prompts=[self._prompt()],
            sampling=self.sampling(),
            grammar=self.grammar(),
            template_options={} if self.raw else self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="ollama",
        )

    def _prompt(self) -> Prompt:
        if self.raw:
            return Prompt(text=self.prompt)
        if not self.system:
            return Prompt(user_text=self.prompt)
        said = [{"role": "system", "content": self.system}, {"role": "user", "content": self.prompt}]
        return Prompt(messages=said)


class OllamaText(Line, kw_only=True, omit_defaults=True):
    response: str
    thinking: str = ""


@router.post(
    "/api/generate",
    tags=["ollama"],
    summary="Answer a prompt, for Ollama's clients",
    openapi_extra=openapi.body(OllamaGenerateRequest, {"model": "dialogue", "prompt": "Hello!", "stream": False}),
    responses=openapi.answers(OllamaText, OllamaText, MEDIA_TYPE),
)
@requires(Permission.INFERENCE)
async def ollama_generate(request: Request) -> Response:
    asked = await parse_body(request, OllamaGenerateRequest)
    pipeline, caller = services_of(request).pipeline, caller_of(request)
    model, must_unload = plain_name(asked.model), asked.must_unload
    if not asked.prompt:
        return json_response(OllamaText(**await load_or_unload(pipeline, model, caller, must_unload), response=""))
    if must_unload:
        caller.check(Permission.DEPLOYMENTS_WRITE)
    call = asked.call(caller)
    await asked.check(pipeline)
    return LinesResponse(pipeline, call, TextLines(), stream=asked.stream, must_unload=must_unload)


class TextLines(Lines):
    """Spells an answer as one OllamaText, or as a line for each of its pieces."""

    async def whole(self, answer: Answer) -> bytes:
        (choice,) = await answer.whole()
        fields: dict[str, Any] = piece(answer, choice.logprobs) | ending(answer, choice.finish_reason)
        return line(OllamaText(**fields, response=choice.text, thinking=choice.reasoning))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async for delta in answer.deltas:
            if delta.text or delta.reasoning or delta.logprobs:
                fields = piece(answer, delta.logprobs)
                yield line(OllamaText(**fields, response=delta.text, thinking=delta.reasoning))
            if delta.finish_reason is not None:
                yield line(OllamaText(**piece(answer, []) | ending(answer, delta.finish_reason), response=""))
