"""Messages in Ollama's format, and their conversion to messages for chat templates."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import field

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import NoArguments, check_conversation, left_out
from llmos.gateway.http.requests import RequestObject, described
from llmos.gateway.wires.ollama.fields import NO_IMAGES


class OllamaCalledFunction(RequestObject, kw_only=True):
    name: str
    arguments: dict[str, Any] | NoArguments = field(default_factory=dict)

    harmless = frozenset({"index", "description"})


class OllamaToolCall(RequestObject, kw_only=True):
    function: OllamaCalledFunction
    id: str = ""

    harmless = frozenset({"type", "index"})
    objects: ClassVar = {"function": OllamaCalledFunction}


class OllamaMessage(RequestObject, kw_only=True):
    role: Annotated[str, described(enum=["system", "user", "assistant", "tool"])]
    content: str = ""
    thinking: str = ""
    """The reasoning before this message."""
    tool_calls: list[OllamaToolCall] = field(default_factory=list)
    tool_name: str = ""
    """The tool whose result this is. Without it, the result belongs to the earliest call that has none."""
    tool_call_id: str = ""
    """The call whose result this is, if calls have ids."""
    images: list[Any] = field(default_factory=list)
    """Only a tool's result may have some: the model gets a note that they were left out."""

    lists: ClassVar = {"tool_calls": OllamaToolCall}


def to_template(messages: Sequence[OllamaMessage]) -> list[dict[str, Any]]:
    """Return the messages as chat templates take them.

    Tool calls need no ids in Ollama's format: a result belongs to the earliest call of its tool without a result.
    Raises BadRequest for an invalid conversation.
    """
    converted: list[dict[str, Any]] = []
    waiting: dict[str, str] = {}
    num_calls = 0
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.images:
            if message.role != "tool":
                raise BadRequest(f"`{path}.images` is not supported: {NO_IMAGES.advice}", param=f"{path}.images")
            turn["content"] = "\n".join([message.content, *[left_out("picture")] * len(message.images)])
        for name, role in (("tool_calls", "assistant"), ("thinking", "assistant"), ("tool_name", "tool")):
            if getattr(message, name) and message.role != role:
                raise BadRequest(
                    f"`{path}.{name}` is in a message with the role {message.role}; only {role} messages may have it.",
                    param=f"{path}.{name}",
                )
        if message.thinking:
            turn["reasoning_content"] = message.thinking
        if message.tool_calls:
            turn["tool_calls"] = []
            for call in message.tool_calls:
                call_id = call.id or f"call_{num_calls}"
                num_calls += 1
                waiting[call_id] = call.function.name
                arguments = msgspec.json.encode(call.function.arguments or {}).decode()
                function = {"name": call.function.name, "arguments": arguments}
                turn["tool_calls"].append({"id": call_id, "type": "function", "function": function})
        if message.role == "tool":
            turn["tool_call_id"] = _call_id(message, waiting, path)
            turn["name"] = waiting.pop(turn["tool_call_id"], message.tool_name)
        converted.append(turn)
    check_conversation(converted)
    return converted


def _call_id(message: OllamaMessage, waiting: Mapping[str, str], path: str) -> str:
    """Return the id of the call whose result the message is. Raises BadRequest if there is none."""
    if message.tool_call_id:
        return message.tool_call_id
    for call_id, name in waiting.items():
        if message.tool_name in ("", name):
            return call_id
    tool = f" of {message.tool_name[:80]}" if message.tool_name else ""
    raise BadRequest(
        f"`{path}` is a tool's result, but no call{tool} before it lacks a result."
        " Send the assistant's message with its `tool_calls` before it.",
        param=path,
    )
