"""Messages in Ollama's format, and their conversion to messages for chat templates."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import field

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import check_conversation
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.wires.ollama.fields import NO_IMAGES


class OllamaCalledFunction(RequestObject, kw_only=True):
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    harmless = frozenset({"index", "description"})


class OllamaToolCall(RequestObject, kw_only=True):
    function: OllamaCalledFunction
    id: str = ""

    harmless = frozenset({"type"})
    objects: ClassVar = {"function": OllamaCalledFunction}


class OllamaMessage(RequestObject, kw_only=True):
    role: str
    """system, user, assistant or tool."""
    content: str = ""
    thinking: str = ""
    """What the model thought before it said this."""
    tool_calls: list[OllamaToolCall] = field(default_factory=list)
    tool_name: str = ""
    """Whose result this is. Without it, that of the earliest call without one."""
    tool_call_id: str = ""
    """Which call's result this is, where the calls have ids."""

    lists: ClassVar = {"tool_calls": OllamaToolCall}
    unsupported: ClassVar = {"images": NO_IMAGES}


def to_template(messages: Sequence[OllamaMessage]) -> list[dict[str, Any]]:
    """Return the messages as chat templates know them.

    Ollama's calls of tools need no ids: a result belongs to the earliest call of its tool that has none yet.
    Raises BadRequest for what is no conversation.
    """
    plain: list[dict[str, Any]] = []
    waiting: dict[str, str] = {}
    num_calls = 0
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        for name, role in (("tool_calls", "assistant"), ("thinking", "assistant"), ("tool_name", "tool")):
            if getattr(message, name) and message.role != role:
                raise BadRequest(
                    f"`{path}.{name}` is of a message whose role is {message.role}; only {role} has it.",
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
                function = {"name": call.function.name, "arguments": call.function.arguments}
                turn["tool_calls"].append({"id": call_id, "type": "function", "function": function})
        if message.role == "tool":
            turn["tool_call_id"] = _answered(message, waiting, path)
            turn["name"] = waiting.pop(turn["tool_call_id"], message.tool_name)
        plain.append(turn)
    check_conversation(plain)
    return plain


def _answered(message: OllamaMessage, waiting: Mapping[str, str], path: str) -> str:
    """Return the id of the call whose result the message is."""
    if message.tool_call_id:
        return message.tool_call_id
    for call_id, name in waiting.items():
        if message.tool_name in ("", name):
            return call_id
    of_which = f" of {message.tool_name[:80]}" if message.tool_name else ""
    raise BadRequest(
        f"`{path}` is a tool's result, but no call{of_which} waits for one."
        " Send the assistant's message with its `tool_calls` before it.",
        param=path,
    )
