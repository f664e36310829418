"""Conversion of items to the messages that chat templates take."""

from collections.abc import Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.gateway.calls.conversation import read_arguments
from llmos.gateway.wires.openai.responses.items import Item


class Conversation:
    """Items converted to the messages that chat templates take.

    Consecutive reasoning, text and calls of the assistant become one message.
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
        elif item.get("role") == "assistant":
            self._append_assistant(_joined(item))
        else:
            if self._reasoning:
                self._append_assistant("")
            self._append(_result(item) if kind == "function_call_output" else _message(item))

    def _calling_message(self) -> dict[str, Any]:
        """Return the assistant message that a call belongs to."""
        if self._reasoning or not self.messages or self.messages[-1]["role"] != "assistant":
            self._append_assistant("")
        self.messages[-1].setdefault("tool_calls", [])
        return self.messages[-1]

    def _append_assistant(self, content: str) -> None:
        message = {"role": "assistant", "content": content}
        if self._reasoning:
            message["reasoning_content"] = self._reasoning
        self._reasoning = ""
        self._append(message)

    def _append(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.item_indexes.append(self._index)


def _joined(item: Item) -> str:
    return "\n".join(part["text"] for part in item["content"])


def _message(item: Item) -> dict[str, Any]:
    return {"role": "system" if item["role"] == "developer" else item["role"], "content": _joined(item)}


def _call(item: Item) -> dict[str, Any]:
    try:
        function = {"name": item["name"], "arguments": read_arguments(item["arguments"], "")}
    except BadRequest as error:  # Items from `input` were checked before: this one is from a stored response.
        raise BadRequest(
            f"The call of {item['name']} was cut off before its arguments were complete, so it has no result."
            " Repeat the request that produced it with a higher `max_output_tokens`.",
            param="previous_response_id",
        ) from error
    return {"id": item["call_id"], "type": "function", "function": function}


def _result(item: Item) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
