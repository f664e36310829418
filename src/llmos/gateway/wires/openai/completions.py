"""POST /v1/completions, in OpenAI's wire format: text or tokens as they stand, without a chat template."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import FinishReason, TokenLogprob
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import Int64, Unsupported, parse_body
from llmos.gateway.http.sse import AnswerResponse, Wire
from llmos.gateway.wires.openai.answers import EventFrame, Usage, finite, usage
from llmos.gateway.wires.openai.fields import HARMLESS, MAX_CHOICES, UNSUPPORTED, StreamOptions
from llmos.gateway.wires.openai.response_format import FORMAT_OBJECTS, OLDER_NAMES, FormatFields
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class CompletionRequest(FormatFields, kw_only=True):
    model: str
    """A Route or a model: GET /v1/models lists them."""
    prompt: str | list[str | TokenId | list[TokenId]]
    """A text, a list of texts, a list of tokens, or a list of such lists. Each prompt gets n choices."""
    max_tokens: Annotated[int, Int64] = 16
    echo: bool = False
    """Put the prompt in front of the answer."""
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    """That many of the likeliest tokens at each place, with the chosen one."""
    best_of: int | None = None
    """Nothing but n: choices are not ranked."""

    harmless = HARMLESS
    objects: ClassVar = {"stream_options": StreamOptions, **FORMAT_OBJECTS}
    unsupported: ClassVar = {
        **UNSUPPORTED,
        **OLDER_NAMES,
        "suffix": Unsupported("the model can't write towards a given end. Leave it out.", ("",)),
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        self.check_stream()
        prompts = _prompts(self.prompt)
        if len(prompts) * self.n > MAX_CHOICES:
            raise BadRequest(
                f"{len(prompts):,} prompts with {self.n} choices each are more than {MAX_CHOICES:,}. Split them.",
                param="prompt",
            )
        if self.best_of not in (None, self.n):
            raise BadRequest("`best_of` must equal `n`: choices are not ranked. Leave it out.", param="best_of")
        if self.echo and self.logprobs is not None:
            raise BadRequest(
                "`echo` and `logprobs` don't go together: a prompt's tokens get no logprobs.", param="echo"
            )
        sampling = self.sampling(max_tokens=self.max_tokens, n=self.n, logprobs=self.logprobs)
        return Call(
            model=self.model,
            prompts=prompts,
            sampling=sampling,
            grammar=self.grammar(),
            echo=self.echo,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="cmpl",
        )


def _prompts(prompt: str | list[str | TokenId | list[TokenId]]) -> list[Prompt]:
    if isinstance(prompt, str):
        return [Prompt(text=prompt)]
    if not prompt:
        raise BadRequest("`prompt` is empty: send a text, or tokens.", param="prompt")
    tokens = [each for each in prompt if isinstance(each, int)]
    if len(tokens) == len(prompt):
        return [Prompt(tokens=tokens)]
    if tokens:
        raise BadRequest(
            "`prompt` mixes tokens with whole prompts: send a list of tokens, or a list of prompts.", param="prompt"
        )
    for i, each in enumerate(prompt):
        if each == []:
            raise BadRequest(f"`prompt[{i}]` is empty: send at least one token.", param=f"prompt[{i}]")
    return [
        Prompt(text=each) if isinstance(each, str) else Prompt(tokens=list(each))
        for each in prompt
        if not isinstance(each, int)
    ]


class CompletionLogprobs(msgspec.Struct):
    """Four lists of the same length, one entry a token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]
    """Where the token begins in the choice's text."""


class CompletionChoice(msgspec.Struct):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    """null only in the middle of a stream."""


class Completion(msgspec.Struct, kw_only=True):
    """The answer, and each event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    """The Version that really answered, such as smollm2@1."""
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


@router.post(
    "/v1/completions",
    tags=["inference"],
    summary="Continue a text",
    openapi_extra=openapi.body(CompletionRequest, {"model": "dialogue", "prompt": "The meaning of life is"}),
    responses=openapi.answers(Completion, Completion),
)
@requires(Permission.INFERENCE)
async def create_completion(request: Request) -> AnswerResponse:
    completion = await parse_body(request, CompletionRequest)
    wire = CompletionWire(
        wants_logprobs=completion.logprobs is not None, wants_usage_event=completion.wants_usage_event
    )
    return AnswerResponse(
        services_of(request).pipeline, completion.call(caller_of(request)), wire, stream=completion.stream
    )


class CompletionWire(Wire):
    """Spells an answer as text_completion, whole or in events."""

    def __init__(self, *, wants_logprobs: bool, wants_usage_event: bool) -> None:
        self._wants_logprobs = wants_logprobs
        self._wants_usage_event = wants_usage_event

    async def whole(self, answer: Answer) -> bytes:
        choices = [
            CompletionChoice(i, choice.text, self._logprobs(choice.logprobs, 0), choice.finish_reason)
            for i, choice in enumerate(await answer.whole())
        ]
        return sse.encode(
            Completion(
                id=answer.id,
                created=answer.created,
                model=answer.served.ref,
                system_fingerprint=answer.fingerprint,
                choices=choices,
                usage=usage(answer),
            )
        )

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        # Spelled by hand: only the index, the text and the logprobs change from one event to the next.
        frame = EventFrame(answer, "text_completion", wants_usage_event=self._wants_usage_event)
        opening, closing = frame.opening, frame.closing
        offsets = [0] * answer.call.num_choices
        async for delta in answer.deltas:
            if not (delta.text or delta.logprobs or delta.finish_reason):
                continue  # A step that completed no character adds nothing.
            logprobs = b"null"
            if self._wants_logprobs and delta.logprobs:
                logprobs = sse.encode(self._logprobs(delta.logprobs, offsets[delta.index]))
                offsets[delta.index] += sum(len(token.text) for token in delta.logprobs)
            reason = b'"%b"' % delta.finish_reason.encode() if delta.finish_reason else b"null"
            yield b'%b{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b}%b' % (
                opening, delta.index, sse.encode(delta.text), logprobs, reason, closing,
            )  # fmt: skip
        if self._wants_usage_event:
            yield frame.usage_event(answer)

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> CompletionLogprobs | None:
        if not self._wants_logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token.text)
        return CompletionLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[finite(token.logprob) for token in tokens],
            top_logprobs=[_likeliest(token) for token in tokens],
            text_offset=offsets,
        )


def _likeliest(token: TokenLogprob) -> dict[str, float]:
    """The likeliest tokens and the chosen one. Of two that read alike (halves of a character), the likelier stays."""
    likeliest: dict[str, float] = {}
    for _, text, _, logprob in token.top:
        likeliest.setdefault(text, finite(logprob))
    likeliest.setdefault(token.text, finite(token.logprob))
    return likeliest
