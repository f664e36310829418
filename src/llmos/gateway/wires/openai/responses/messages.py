"""Conversion of items to the messages that chat templates take."""

from collections.abc import Sequence
from typing import Any

from llmos.gateway.wires.openai.responses.compaction import summary_message
from llmos.gateway.wires.openai.responses.file_search import to_messages
from llmos.gateway.wires.openai.responses.items import Item


class Conversation:
    """Items converted to the messages that chat templates take.

    Consecutive reasoning, text and calls of the assistant become one message, in whatever order the model wrote them.
    """

    def __init__(self, instructions: str | None, items: Sequence[Item]) -> None:
        self.messages: list[dict[str, Any]] = []
        self.item_indexes: list[int] = []
        """For each message, the index of its first item."""
        self._index = 0
        self._reasoning = ""
        if instructions is not None:
            self._append({"role": "system", "content": instructions})
        for self._index, item in enumerate(items):
            self._add(item)
        if self._reasoning:
            self._append_assistant("")

    def _add(self, item: Item) -> None:
        kind = item["type"]
        if kind == "reasoning":
            self._reasoning += _joined(item)
        elif kind == "function_call":
            self._calling_message()["tool_calls"].append(_call(item))
        elif kind == "file_search_call":
            self._add_search(item)
        elif item.get("role") == "assistant":
            self._append_assistant(_joined(item))
        else:
            if self._reasoning:
                self._append_assistant("")
            self._append(_CONVERTED.get(kind, _message)(item))

    def _add_search(self, item: Item) -> None:
        """Add a search of the server with what it found."""
        for message in to_messages(item):
            if message["role"] == "assistant":
                self._calling_message()["tool_calls"] += message["tool_calls"]
            else:
                self._append(message)

    def _calling_message(self) -> dict[str, Any]:
        """Return the assistant message that a call belongs to."""
        if self._has_calls() or (self._is_assistants() and not self._reasoning):
            self._add_reasoning()
        else:
            self._append_assistant("")
        self.messages[-1].setdefault("tool_calls", [])
        return self.messages[-1]

    def _append_assistant(self, content: str) -> None:
        if self._has_calls():  # The results of these calls are still to come, so the message goes on.
            self._add_reasoning()
            self.messages[-1]["content"] += content
            return
        message = {"role": "assistant", "content": content}
        if self._reasoning:
            message["reasoning_content"] = self._reasoning
        self._reasoning = ""
        self._append(message)

    def _add_reasoning(self) -> None:
        """Add the pending reasoning to the last message."""
        if self._reasoning:
            self.messages[-1]["reasoning_content"] = self.messages[-1].get("reasoning_content", "") + self._reasoning
        self._reasoning = ""

    def _is_assistants(self) -> bool:
        return bool(self.messages) and self.messages[-1]["role"] == "assistant"

    def _has_calls(self) -> bool:
        """Return whether the last message is the assistant's and has calls."""
        return self._is_assistants() and "tool_calls" in self.messages[-1]

    def _append(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.item_indexes.append(self._index)


def _joined(item: Item) -> str:
    return "\n".join(part["text"] for part in item["content"])


def _message(item: Item) -> dict[str, Any]:
    return {"role": "system" if item["role"] == "developer" else item["role"], "content": _joined(item)}


def _call(item: Item) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item["arguments"] or "{}"}
    return {"id": item["call_id"], "type": "function", "function": function}


def _result(item: Item) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}


_CONVERTED = {"function_call_output": _result, "compaction": summary_message}
