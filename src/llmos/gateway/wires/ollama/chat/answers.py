"""The answer of POST /api/chat."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from llmos.gateway.calls.tool_calls import ToolCall
from llmos.gateway.wires.ollama.answers import OllamaAnswer


class OllamaAnswerFunction(msgspec.Struct):
    name: str
    arguments: dict[str, Any]


class OllamaAnswerCall(msgspec.Struct):
    id: str
    function: OllamaAnswerFunction


class OllamaAnswerMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    role: Literal["assistant"]
    content: str
    thinking: str = ""
    tool_calls: list[OllamaAnswerCall] = []


class OllamaChatAnswer(OllamaAnswer, kw_only=True, omit_defaults=True):
    message: OllamaAnswerMessage


def render_message(text: str = "", thinking: str = "", calls: Sequence[ToolCall] = ()) -> OllamaAnswerMessage:
    """Return a message of the assistant."""
    return OllamaAnswerMessage(
        role="assistant", content=text, thinking=thinking, tool_calls=[*map(_render_call, calls)]
    )


def _render_call(call: ToolCall) -> OllamaAnswerCall:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        arguments = {}  # num_predict cut the call, so its arguments are no JSON object.
    return OllamaAnswerCall(call.id, OllamaAnswerFunction(call.name, arguments))
