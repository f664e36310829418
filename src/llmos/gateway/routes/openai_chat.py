"""POST /v1/chat/completions, in OpenAI's wire format."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import FinishReason, TokenLogprob
from llmos.gateway import openapi, sse
from llmos.gateway.openai_answers import EventFrame, TokenLogprobs, Usage, token_logprobs, usage
from llmos.gateway.openai_fields import HARMLESS, UNSUPPORTED, StreamOptions
from llmos.gateway.pipeline import Answer, Call, Prompt
from llmos.gateway.response_format import FORMAT_OBJECTS, OLDER_NAMES, FormatFields
from llmos.gateway.sse import AnswerResponse, Wire
from llmos.gateway.wire import Int64, Unsupported, WireRequest, receive

router = APIRouter()

Role = Literal["system", "developer", "user", "assistant"]
_TOOLS = "tools are not available yet. Leave it out, and describe them in a system message."
_TEXT_ONLY = "this server reads and writes text only."


class ContentPart(msgspec.Struct):
    type: str
    """`text`; other kinds are refused."""
    text: str | None = None


class Message(WireRequest, kw_only=True):
    role: str
    """system, developer (the same), user or assistant."""
    content: str | list[ContentPart]
    """Parts are joined by line breaks."""
    name: str | None = None

    harmless = frozenset({"annotations"})
    unsupported: ClassVar = {
        "tool_calls": Unsupported(_TOOLS, ([],)),
        "function_call": Unsupported(_TOOLS),
        "tool_call_id": Unsupported(_TOOLS),
        "refusal": Unsupported("a refusal is not a text that the model can read. Put it into `content`."),
        "audio": Unsupported(_TEXT_ONLY),
    }


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

    harmless = HARMLESS
    objects: ClassVar = {"stream_options": StreamOptions, **FORMAT_OBJECTS}
    lists: ClassVar = {"messages": Message}
    unsupported: ClassVar = {
        **UNSUPPORTED,
        **OLDER_NAMES,
        "tools": Unsupported(_TOOLS, ([],)),
        "tool_choice": Unsupported(_TOOLS, ("none", "auto")),
        "functions": Unsupported(_TOOLS, ([],)),
        "function_call": Unsupported(_TOOLS, ("none", "auto")),
        "modalities": Unsupported(_TEXT_ONLY, (["text"], [])),
        "audio": Unsupported(_TEXT_ONLY),
        "reasoning_effort": Unsupported("no model here takes an effort. Leave it out.", ("none",)),
        "verbosity": Unsupported("ask for a shorter or longer answer in a message.", ("medium",)),
        "web_search_options": Unsupported("this server does not search the web. Leave it out."),
        "moderation": Unsupported("this server does not moderate yet. Leave it out."),
    }

    def call(self) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        self.check_stream()
        if not self.messages:
            raise BadRequest("`messages` is empty: send at least one message.", param="messages")
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
        messages = [_plain(message, f"messages[{i}]") for i, message in enumerate(self.messages)]
        return Call(
            model=self.model,
            prompts=[Prompt(messages=messages)],
            sampling=sampling,
            grammar=self.grammar(),
            origin=self.origin(),
            id_prefix="chatcmpl",
        )


def _plain(message: Message, path: str) -> dict[str, Any]:
    """Return the message as chat templates know it."""
    if message.role in ("tool", "function"):
        raise BadRequest(f"`{path}.role` is {message.role!r}: {_TOOLS}", param=f"{path}.role")
    if message.role not in Role.__args__:  # type: ignore[attr-defined]
        raise BadRequest(
            f"`{path}.role` is {message.role!r}; it takes system, developer, user or assistant.", param=f"{path}.role"
        )
    role = "system" if message.role == "developer" else message.role
    plain = {"role": role, "content": _text(message.content, f"{path}.content")}
    return plain if message.name is None else {**plain, "name": message.name}


def _text(content: str | list[ContentPart], path: str) -> str:
    if isinstance(content, str):
        return content
    for i, part in enumerate(content):
        if part.type != "text":
            raise BadRequest(f"`{path}[{i}]` is a part of type {part.type!r}: {_TEXT_ONLY}", param=f"{path}[{i}].type")
        if part.text is None:
            raise BadRequest(f"`{path}[{i}].text` is missing.", param=f"{path}[{i}].text")
    return "\n".join(part.text or "" for part in content)


class ChoiceLogprobs(msgspec.Struct):
    content: list[TokenLogprobs]
    refusal: None = None


class AnswerMessage(msgspec.Struct):
    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


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
async def create_chat_completion(request: Request) -> AnswerResponse:
    chat = await receive(request, ChatRequest)
    wire = ChatWire(wants_logprobs=chat.logprobs, wants_usage_event=chat.wants_usage_event)
    return AnswerResponse(request.app.state.services, chat.call(), wire, stream=chat.stream)


class ChatWire(Wire):
    """Spells an answer as chat.completion, or as chat.completion.chunk events."""

    def __init__(self, *, wants_logprobs: bool, wants_usage_event: bool) -> None:
        self._wants_logprobs = wants_logprobs
        self._wants_usage_event = wants_usage_event

    async def whole(self, answer: Answer) -> bytes:
        choices = await answer.whole()
        completion = ChatCompletion(
            id=answer.id,
            created=answer.created,
            model=answer.version.ref,
            system_fingerprint=answer.fingerprint,
            choices=[
                ChatChoice(i, AnswerMessage(choice.text), self._logprobs(choice.logprobs), choice.finish_reason)
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
            if delta.index not in started:
                started.add(delta.index)
                chunk = choice + b'{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}' + closing
            if delta.text or delta.logprobs:
                logprobs = sse.encode(self._logprobs(delta.logprobs)) if self._wants_logprobs else b"null"
                chunk += b'%b{"content":%b},"logprobs":%b,"finish_reason":null}%b' % (
                    choice, sse.encode(delta.text), logprobs, closing,
                )  # fmt: skip
            if delta.finish_reason is not None:
                chunk += b'%b{},"logprobs":null,"finish_reason":"%b"}%b' % (
                    choice, delta.finish_reason.encode(), closing,
                )  # fmt: skip
            if chunk:  # A step that completed no character adds nothing.
                yield chunk
        if self._wants_usage_event:
            yield frame.usage_event(answer)

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> ChoiceLogprobs | None:
        return ChoiceLogprobs(token_logprobs(tokens)) if self._wants_logprobs else None
