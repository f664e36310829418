"""Turns of a stored conversation, as pages show them: who said what, from the items of a response."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, tool call, result or thought."""

    kind: str
    """user, assistant, system, developer, reasoning, call, result, or the type of an item that is unknown here."""
    text: str
    name: str = ""
    """The name of the tool that is called."""


def turns_of(items: Sequence[Any]) -> Sequence[Turn]:
    """Return the turns of items of `/v1/responses`. What is of an unknown type is shown as JSON."""
    return [_turn(item) for item in items if isinstance(item, dict)]


def turns_of_messages(messages: Sequence[Any]) -> Sequence[Turn]:
    """Return the turns of messages of a dataset's row."""
    turns: list[Turn] = []
    for message in messages:
        if not isinstance(message, dict):
            continue
        role = str(message.get("role", ""))
        if text := _text(message.get("content")):
            turns.append(Turn("result" if role == "tool" else role, text))
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            turns.append(Turn("call", str(function.get("arguments", "")), str(function.get("name", ""))))
    return turns


def _turn(item: dict[str, Any]) -> Turn:
    kind = str(item.get("type", "message"))
    if kind == "message":
        return Turn(str(item.get("role", "")), _text(item.get("content")))
    if kind == "reasoning":
        return Turn("reasoning", _text(item.get("summary") or item.get("content")))
    if kind == "function_call":
        return Turn("call", str(item.get("arguments", "")), str(item.get("name", "")))
    if kind == "function_call_output":
        return Turn("result", _text(item.get("output")))
    return Turn(kind, json.dumps(item, ensure_ascii=False, indent=2))


def _text(content: Any) -> str:
    """Return the texts of a content: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else json.dumps(content, ensure_ascii=False)
    texts = (part.get("text") or part.get("refusal") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))
