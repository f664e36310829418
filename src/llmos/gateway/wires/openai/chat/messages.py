"""Messages in OpenAI's chat format, and their conversion to the dicts that chat templates take."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import check_arguments, check_conversation, left_out
from llmos.gateway.http.requests import RequestObject, Unsupported, described

TEXT_ONLY = "this server supports text only."

_LEFT_OUT = {"image_url": "picture", "input_audio": "recording", "file": "file"}

_TOOLS_INSTEAD = "it is deprecated. Send `tool_calls`, and their results as messages with the role tool."


_OTHER_SERVERS = ("extra_content", "provider_specific_fields")
"""Fields that Gemini and LiteLLM add to answers for their own use. A conversation may have begun there."""

_MEDIA = frozenset({*_LEFT_OUT, "video_url", "audio_url", "image"})


class ContentPart(msgspec.Struct):
    type: str
    """`text`, or `refusal` in an assistant's message; other types are rejected."""
    text: str | None = None
    refusal: str | None = None


class CalledFunction(RequestObject, kw_only=True):
    name: str
    arguments: str = ""
    """A JSON object, as a string."""

    harmless = frozenset({"parsed_arguments", *_OTHER_SERVERS})


class MessageToolCall(RequestObject, kw_only=True):
    id: str
    type: str = "function"
    function: CalledFunction | None = None

    harmless = frozenset({"index", *_OTHER_SERVERS})
    objects: ClassVar = {"function": CalledFunction}
    unsupported: ClassVar = {"custom": Unsupported("functions are the only tools.")}


class Message(RequestObject, kw_only=True):
    role: Annotated[str, described(enum=["system", "developer", "user", "assistant", "tool"])]
    """developer is a synonym of system."""
    content: str | list[ContentPart] | None = None
    """Parts are joined by line breaks. An assistant message may have `tool_calls` instead."""
    name: str | None = None
    tool_calls: list[MessageToolCall] = msgspec.field(default_factory=list)
    """The calls that an assistant message made."""
    tool_call_id: str | None = None
    """The call whose result a tool message is."""
    reasoning_content: str | None = None
    """The assistant's reasoning. The model's chat template decides whether the model sees it again."""

    reasoning: str | None = None
    """The name that vLLM and OpenRouter have for reasoning_content."""

    # The beginning of every prompt is cached anyway. OpenRouter's details repeat the reasoning.
    harmless = frozenset({"annotations", "parsed", "cache_control", "reasoning_details", *_OTHER_SERVERS})
    lists: ClassVar = {"tool_calls": MessageToolCall}
    unsupported: ClassVar = {
        "function_call": Unsupported(_TOOLS_INSTEAD),
        "refusal": Unsupported("the model reads text only. Put the refusal into `content`."),
        "audio": Unsupported(TEXT_ONLY),
    }


def to_template(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages as chat templates take them. Raises BadRequest for an invalid conversation."""
    conversation = [_to_template(message, f"messages[{i}]") for i, message in enumerate(messages)]
    check_conversation(conversation)
    return conversation


def _to_template(message: Message, path: str) -> dict[str, Any]:
    if message.role == "function":
        raise BadRequest(f"`{path}.role` is 'function': {_TOOLS_INSTEAD}", param=f"{path}.role")
    role = "system" if message.role == "developer" else message.role
    is_result = role == "tool"
    content = None if message.content is None else _text(message.content, f"{path}.content", is_result=is_result)
    if content is None and (is_result or (role == "assistant" and not message.tool_calls)):
        content = ""  # a tool that gives nothing back, or an answer without words
    converted: dict[str, Any] = {"role": role, "content": content}
    if message.tool_calls:
        converted["tool_calls"] = [
            _call_to_template(call, f"{path}.tool_calls[{j}]") for j, call in enumerate(message.tool_calls)
        ]
    reasoning = message.reasoning if message.reasoning_content is None else message.reasoning_content
    more = {"name": message.name, "tool_call_id": message.tool_call_id, "reasoning_content": reasoning}
    converted |= {name: value for name, value in more.items() if value is not None}
    return converted


def _call_to_template(call: MessageToolCall, path: str) -> dict[str, Any]:
    converted: dict[str, Any] = {"id": call.id, "type": call.type}
    if call.function is not None:
        arguments = check_arguments(call.function.arguments, f"{path}.function.arguments")
        converted["function"] = {"name": call.function.name, "arguments": arguments}
    return converted


def _text(content: str | list[ContentPart], path: str, *, is_result: bool) -> str:
    """Return the text of the content. What the model can't read is an error, but in a tool's result it is left out."""
    if isinstance(content, str):
        return content
    for i, part in enumerate(content):
        if is_result and part.type in _LEFT_OUT:
            part.text = left_out(_LEFT_OUT[part.type])
        elif part.type == "refusal":
            part.text = part.refusal
        elif part.type != "text":
            advice = TEXT_ONLY if part.type in _MEDIA else "it accepts text."
            raise BadRequest(f"`{path}[{i}]` has the type {part.type!r:.100}: {advice}", param=f"{path}[{i}].type")
        if part.text is None:
            raise BadRequest(f"`{path}[{i}].text` is missing.", param=f"{path}[{i}].text")
    return "\n".join(part.text or "" for part in content)
