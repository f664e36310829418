"""POST /v1/chat/completions, in OpenAI's wire format."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import Delta, FinishReason, TokenLogprob
from llmos.gateway.calls.answer import Answer, WholeChoice
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, services_of
from llmos.gateway.http.requests import Int64, Unsupported, parse_body
from llmos.gateway.http.sse import AnswerResponse, Wire
from llmos.gateway.wires.openai.answers import EventFrame, TokenLogprobs, Usage, token_logprobs, usage
from llmos.gateway.wires.openai.fields import HARMLESS, UNSUPPORTED, StreamOptions
from llmos.gateway.wires.openai.messages import TEXT_ONLY, Message, to_template
from llmos.gateway.wires.openai.response_format import FORMAT_OBJECTS, OLDER_NAMES, FormatFields
from llmos.gateway.wires.openai.tools import (
    AnswerToolCall,
    ChunkToolCall,
    NamedToolChoice,
    Tool,
    parse_tools,
    render_call_deltas,
    render_calls,
)
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter()

_TOOLS_INSTEAD = "it is the older form of tools. Send `tools` and `tool_choice`."


class ChatRequest(FormatFields, kw_only=True):
    model: str
    """A Route or a model: GET /v1/models lists them."""
    messages: list[Message]
    max_completion_tokens: Annotated[int, Int64] | None = None
    """Without it, as many as the context window has room for."""
    max_tokens: Annotated[int, Int64] | None = None
    """The older name of max_completion_tokens."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] = msgspec.field(default_factory=list)
    """What the model may call."""
    tool_choice: str | NamedToolChoice | None = None
    """auto: whether it calls is up to the model. required: it does. none: it does not, and isn't told of the tools. Or
    the one function that it calls."""
    parallel_tool_calls: bool = True
    """One answer may have several calls."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """For models whose chat template takes one, or can leave the reasoning out."""
    chat_template_kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    """Further variables of the model's chat template, such as enable_thinking."""

    harmless = HARMLESS
    objects: ClassVar = {"stream_options": StreamOptions, "tool_choice": NamedToolChoice, **FORMAT_OBJECTS}
    lists: ClassVar = {"messages": Message, "tools": Tool}
    unsupported: ClassVar = {
        **UNSUPPORTED,
        **OLDER_NAMES,
        "functions": Unsupported(_TOOLS_INSTEAD, ([],)),
        "function_call": Unsupported(_TOOLS_INSTEAD, ("none", "auto")),
        "modalities": Unsupported(TEXT_ONLY, (["text"], [])),
        "audio": Unsupported(TEXT_ONLY),
        "verbosity": Unsupported("ask for a shorter or longer answer in a message.", ("medium",)),
        "web_search_options": Unsupported("this server does not search the web. Leave it out."),
        "moderation": Unsupported("this server does not moderate yet. Leave it out."),
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        self.check_stream()
        if self.top_logprobs is not None and not self.logprobs:
            raise BadRequest("`top_logprobs` needs `logprobs` set to true.", param="top_logprobs")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise BadRequest(
                "`max_tokens` and `max_completion_tokens` are two names of one limit and differ: send one of them.",
                param="max_tokens",
            )
        sampling = self.sampling(
            max_tokens=limits.pop() if limits else None,
            n=self.n,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )
        check_numbers(self.chat_template_kwargs, "chat_template_kwargs")
        effort = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return Call(
            model=self.model,
            prompts=[Prompt(messages=to_template(self.messages))],
            sampling=sampling,
            grammar=self.grammar(),
            tools=parse_tools(self.tools, self.tool_choice, is_parallel=self.parallel_tool_calls),
            template_options={**self.chat_template_kwargs, **effort},
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="chatcmpl",
        )


class ChoiceLogprobs(msgspec.Struct):
    content: list[TokenLogprobs]
    refusal: None = None


class AnswerMessage(msgspec.Struct):
    content: str | None
    """null where the answer is calls alone."""
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    """What the model thought before it answered, where its template sets that apart."""
    tool_calls: list[AnswerToolCall] | msgspec.UnsetType = msgspec.UNSET


class ChatChoice(msgspec.Struct):
    index: int
    message: AnswerMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    """The Version that really answered, such as smollm2@1."""
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class ChunkDelta(msgspec.Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChunkToolCall] = []


class ChunkChoice(msgspec.Struct):
    index: int
    delta: ChunkDelta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


@router.post(
    "/v1/chat/completions",
    tags=["inference"],
    summary="Answer a conversation",
    openapi_extra=openapi.body(
        ChatRequest, {"model": "dialogue", "messages": [{"role": "user", "content": "What is an operating system?"}]}
    ),
    responses=openapi.answers(ChatCompletion, ChatCompletionChunk),
)
@requires(Permission.INFERENCE)
async def create_chat_completion(request: Request) -> AnswerResponse:
    chat = await parse_body(request, ChatRequest)
    call = chat.call(caller_of(request))
    wire = ChatWire(
        wants_logprobs=chat.logprobs, wants_usage_event=chat.wants_usage_event, may_call=call.tools is not None
    )
    return AnswerResponse(services_of(request).pipeline, call, wire, stream=chat.stream)


def _message(choice: WholeChoice) -> AnswerMessage:
    return AnswerMessage(
        None if choice.tool_calls and not choice.text else choice.text,
        reasoning_content=choice.reasoning or msgspec.UNSET,
        tool_calls=render_calls(choice.tool_calls) if choice.tool_calls else msgspec.UNSET,
    )


def _is_empty(delta: Delta) -> bool:
    is_silent = not (delta.text or delta.reasoning or delta.tool_calls or delta.logprobs)
    return is_silent and delta.finish_reason is None


class ChatWire(Wire):
    """Spells an answer as chat.completion, or as chat.completion.chunk events."""

    def __init__(self, *, wants_logprobs: bool, wants_usage_event: bool, may_call: bool) -> None:
        self._wants_logprobs = wants_logprobs
        self._wants_usage_event = wants_usage_event
        self._may_call = may_call

    async def whole(self, answer: Answer) -> bytes:
        choices = await answer.whole()
        completion = ChatCompletion(
            id=answer.id,
            created=answer.created,
            model=answer.served.ref,
            system_fingerprint=answer.fingerprint,
            choices=[
                ChatChoice(i, _message(choice), self._logprobs(choice.logprobs), choice.finish_reason)
                for i, choice in enumerate(choices)
            ],
            usage=usage(answer),
        )
        return sse.encode(completion)

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        # Spelled by hand: only the index, the text and the logprobs change from one event to the next.
        frame = EventFrame(answer, "chat.completion.chunk", wants_usage_event=self._wants_usage_event)
        opening, closing = frame.opening, frame.closing
        started: set[int] = set()
        async for delta in answer.deltas:
            choice = opening + b'{"index":%d,"delta":' % delta.index
            chunk = b""
            # What the answer is, calls or text, isn't known before the first of either.
            if delta.index not in started and not (self._may_call and _is_empty(delta)):
                started.add(delta.index)
                content = b"null" if delta.tool_calls and not delta.text else b'""'
                chunk = b'%b{"role":"assistant","content":%b},"logprobs":null,"finish_reason":null}%b' % (
                    choice, content, closing,
                )  # fmt: skip
            logprobs = sse.encode(self._logprobs(delta.logprobs)) if self._wants_logprobs else b"null"
            for added in self._added(delta):
                chunk += b'%b%b,"logprobs":%b,"finish_reason":null}%b' % (choice, added, logprobs, closing)
                logprobs = b"null"
            if delta.finish_reason is not None:
                chunk += b'%b{},"logprobs":null,"finish_reason":"%b"}%b' % (
                    choice, delta.finish_reason.encode(), closing,
                )  # fmt: skip
            if chunk:  # A step that completed no character adds nothing.
                yield chunk
        if self._wants_usage_event:
            yield frame.usage_event(answer)

    def _added(self, delta: Delta) -> list[bytes]:
        """Return what the delta adds to the message, in the order in which models say it."""
        parts = []
        if delta.reasoning:
            parts.append(b'{"reasoning_content":%b}' % sse.encode(delta.reasoning))
        if delta.text:
            parts.append(b'{"content":%b}' % sse.encode(delta.text))
        if delta.tool_calls:
            parts.append(b'{"tool_calls":%b}' % sse.encode(render_call_deltas(delta.tool_calls)))
        if delta.logprobs and not parts:
            parts.append(b"{}" if self._may_call else b'{"content":""}')
        return parts

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> ChoiceLogprobs | None:
        return ChoiceLogprobs(token_logprobs(tokens)) if self._wants_logprobs else None
