"""Messages in OpenAI's chat format, and what chat templates make of them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import check_conversation, read_arguments
from llmos.gateway.http.requests import RequestObject, Unsupported

TEXT_ONLY = "this server reads and writes text only."
_TOOLS_INSTEAD = "it is the older form of tools. Send `tool_calls`, and their results as messages of the role tool."


class ContentPart(msgspec.Struct):
    type: str
    """`text`; other kinds are refused."""
    text: str | None = None


class CalledFunction(RequestObject, kw_only=True):
    name: str
    arguments: str
    """A JSON object."""

    harmless = frozenset({"parsed_arguments"})


class MessageToolCall(RequestObject, kw_only=True):
    id: str
    type: str = "function"
    function: CalledFunction | None = None

    harmless = frozenset({"index"})
    objects: ClassVar = {"function": CalledFunction}
    unsupported: ClassVar = {"custom": Unsupported("functions are the only tools.")}


class Message(RequestObject, kw_only=True):
    role: str
    """system, developer (the same), user, assistant or tool."""
    content: str | list[ContentPart] | None = None
    """Parts are joined by line breaks. An assistant's message may have calls instead."""
    name: str | None = None
    tool_calls: list[MessageToolCall] = msgspec.field(default_factory=list)
    """What an assistant's message called."""
    tool_call_id: str | None = None
    """The call that a message of the role tool is the result of."""
    reasoning_content: str | None = None
    """What the assistant thought: its model's template decides what becomes of it."""

    harmless = frozenset({"annotations", "parsed"})
    lists: ClassVar = {"tool_calls": MessageToolCall}
    unsupported: ClassVar = {
        "function_call": Unsupported(_TOOLS_INSTEAD),
        "refusal": Unsupported("a refusal is not a text that the model can read. Put it into `content`."),
        "audio": Unsupported(TEXT_ONLY),
    }


def plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages as chat templates know them. Raises BadRequest for what is no conversation."""
    conversation = [_plain(message, f"messages[{i}]") for i, message in enumerate(messages)]
    check_conversation(conversation)
    return conversation


def _plain(message: Message, path: str) -> dict[str, Any]:
    if message.role == "function":
        raise BadRequest(f"`{path}.role` is 'function': {_TOOLS_INSTEAD}", param=f"{path}.role")
    role = "system" if message.role == "developer" else message.role
    content = None if message.content is None else _text(message.content, f"{path}.content")
    plain: dict[str, Any] = {"role": role, "content": content}
    if message.tool_calls:
        plain["tool_calls"] = [
            _plain_call(call, f"{path}.tool_calls[{j}]") for j, call in enumerate(message.tool_calls)
        ]
    for name in ("name", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            plain[name] = value
    return plain


def _plain_call(call: MessageToolCall, path: str) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": call.id, "type": call.type}
    if call.function is not None:
        arguments = read_arguments(call.function.arguments, f"{path}.function.arguments")
        plain["function"] = {"name": call.function.name, "arguments": arguments}
    return plain


def _text(content: str | list[ContentPart], path: str) -> str:
    if isinstance(content, str):
        return content
    for i, part in enumerate(content):
        if part.type != "text":
            raise BadRequest(f"`{path}[{i}]` is a part of type {part.type!r}: {TEXT_ONLY}", param=f"{path}[{i}].type")
        if part.text is None:
            raise BadRequest(f"`{path}[{i}].text` is missing.", param=f"{path}[{i}].text")
    return "\n".join(part.text or "" for part in content)
