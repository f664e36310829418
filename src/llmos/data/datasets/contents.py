"""Contents of rows, one struct for each kind, and their canonical JSON.

The fields of each struct stand in the order of their names, so that encoding it gives its canonical JSON (RFC 8785)
directly; values that any JSON may be (tools, parts of messages, expected answers) are put into canonical form first.

    chat         {"messages": […], "tools": […]}                 OpenAI's messages and tools
    preference   {"chosen": […], "messages": […], "rejected": […]}   two continuations of the same messages
    case         {"expected": …, "input": "…" or […]}            a question for an evaluation, and its answer
    text         {"text": "…"}
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from llmos.core.canonical import canonical
from llmos.core.errors import BadRequest

Kind = Literal["chat", "preference", "case", "text"]
KINDS: tuple[Kind, ...] = ("chat", "preference", "case", "text")

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

_DOUBLES_END = 1 << 1023


class Function(msgspec.Struct, kw_only=True, gc=False):
    arguments: str | dict[str, Any] = "{}"
    """JSON, as text; from some sources as an object, which encode_content() writes as text."""
    name: str


class ToolCall(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    function: Function
    id: str | None = None
    type: str = "function"


class Message(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """One message of a conversation, as OpenAI writes it."""

    content: str | list[dict[str, Any]] | None = None
    """Text, or parts such as images; None where there are only tool calls."""
    name: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    role: Role
    tool_call_id: str | None = None
    tool_calls: list[ToolCall] | None = None
    weight: float | None = None
    """0 where the message isn't trained on."""


class ChatContent(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None


class PreferenceContent(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    chosen: list[Message]
    messages: list[Message]
    rejected: list[Message]


class CaseContent(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    expected: Any = None
    """The answer, or what an evaluation compares answers with; None where there is none."""
    input: str | list[Message]


class TextContent(msgspec.Struct, kw_only=True, gc=False):
    text: str


Content = ChatContent | PreferenceContent | CaseContent | TextContent

CONTENT_TYPES: Mapping[Kind, type[Content]] = {
    "chat": ChatContent,
    "preference": PreferenceContent,
    "case": CaseContent,
    "text": TextContent,
}

_encoder = msgspec.json.Encoder()
_decoders: Mapping[Kind, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(type) for kind, type in CONTENT_TYPES.items()
}


def encode_content(content: Content) -> bytes:
    """Return the canonical JSON of a content. Raises BadRequest for a value without one; see canonical()."""
    if type(content) is ChatContent:
        _seal_messages(content.messages)
        if content.tools is not None:
            content.tools = _sealed(content.tools or None)
    elif type(content) is PreferenceContent:
        for messages in (content.chosen, content.messages, content.rejected):
            _seal_messages(messages)
    elif type(content) is CaseContent:
        if type(content.input) is list:
            _seal_messages(content.input)
        if content.expected is not None and type(content.expected) is not str:
            content.expected = _sealed(content.expected)
    return _encoder.encode(content)


def decode_content(kind: Kind, body: bytes) -> Content:
    """Return the content that encode_content() wrote."""
    content: Content = _decoders[kind].decode(body)
    return content


def map_texts(content: Content, function: Callable[[str], str]) -> Content:
    """Replace every text of a content that people or models wrote by what `function` makes of it, in place, and return
    the content: of messages, answers and texts; neither of tools nor of names."""
    if isinstance(content, TextContent):
        content.text = function(content.text)
        return content
    if isinstance(content, CaseContent):
        if isinstance(content.expected, str):
            content.expected = function(content.expected)
        if isinstance(content.input, str):
            content.input = function(content.input)
            return content
    for message in messages_of(content):
        _map_message(message, function)
    return content


def messages_of(content: Content) -> list[Message]:
    """Return all messages of a content: of a preference, those of both answers too; none of a text."""
    if isinstance(content, ChatContent):
        return content.messages
    if isinstance(content, PreferenceContent):
        return [*content.messages, *content.chosen, *content.rejected]
    return content.input if isinstance(content, CaseContent) and isinstance(content.input, list) else []


def texts_of(content: Content) -> list[str]:
    """Return every text of a content, in order: what map_texts() gives to its function."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    map_texts(content, collect)
    return texts


def _map_message(message: Message, function: Callable[[str], str]) -> None:
    if isinstance(message.content, str):
        message.content = function(message.content)
    elif message.content is not None:
        message.content = [
            {**part, "text": function(part["text"])} if isinstance(part.get("text"), str) else part
            for part in message.content
        ]
    if message.reasoning_content is not None:
        message.reasoning_content = function(message.reasoning_content)
    if message.refusal is not None:
        message.refusal = function(message.refusal)
    for call in message.tool_calls or ():
        if isinstance(call.function.arguments, str):
            call.function.arguments = function(call.function.arguments)


def _seal_messages(messages: list[Message]) -> None:
    """Put the parts of messages into canonical form."""
    for message in messages:
        if message.content is not None and type(message.content) is not str:
            message.content = _sealed(message.content)
        if message.weight is not None:
            message.weight = _sealed(message.weight)
        for call in message.tool_calls or ():
            if type(call.function.arguments) is not str:
                call.function.arguments = bytes(_sealed(call.function.arguments)).decode()


def _sealed(value: Any) -> Any:
    """Return the value as canonical JSON that is written as it is."""
    if value is None:
        return None
    try:
        return msgspec.Raw(canonical(value))
    except BadRequest:
        return msgspec.Raw(canonical(_as_doubles(value)))


def _as_doubles(value: Any) -> Any:
    """Return the value with each large whole number as the same floating-point number, where there is one.

    Canonical JSON writes 1e20 as a whole number, which would be refused when it is read again.
    """
    if isinstance(value, dict):
        return {key: _as_doubles(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_doubles(each) for each in value]
    if type(value) is int and abs(value) < _DOUBLES_END:
        double = float(value)
        if value in (int(double), int(Decimal(repr(double)))):  # exactly it, or its shortest decimal digits
            return double
    return value
