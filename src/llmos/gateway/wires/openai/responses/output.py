"""Conversion of an answer's deltas to the items of a response, and to the events that report each change."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from llmos.core.ids import new_id
from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.wires.openai.answers import TokenLogprobs, token_logprobs
from llmos.gateway.wires.openai.responses.items import Item, Status

Event = dict[str, Any]
"""An event without its sequence_number."""


class OutputItems:
    """The items of one answer, in the order in which the model produced them."""

    def __init__(self, *, wants_logprobs: bool) -> None:
        self.items: list[Item] = []
        self.num_reasoning_tokens = 0
        self._wants_logprobs = wants_logprobs
        self._open: _OpenItem | None = None

    def add(self, delta: Delta) -> Iterator[Event]:
        """Add a delta, and yield its events. The iterator must be read to its end."""
        if delta.reasoning:
            self.num_reasoning_tokens = delta.num_output_tokens
            yield from self._open_item(_Reasoning, 0)
            yield from self._extend(delta.reasoning)
        logprobs = token_logprobs(delta.logprobs) if self._wants_logprobs and not delta.reasoning else []
        if delta.text or (logprobs and not delta.tool_calls):
            yield from self._open_item(_Message, 0)
            yield from self._extend(delta.text, logprobs)
        for call in delta.tool_calls:
            yield from self._open_item(_FunctionCall, call.index, call)
            yield from self._extend(call.arguments)

    def end(self, *, is_cut: bool) -> Iterator[Event]:
        """Close the last item, and yield its events. `is_cut`: the item is incomplete.

        An empty answer becomes an empty message.
        """
        if not self.items:
            yield from self._open_item(_Message, 0)
        yield from self._close("incomplete" if is_cut else "completed")

    def _open_item(self, kind: "type[_OpenItem]", index: int, call: ToolCallDelta | None = None) -> Iterator[Event]:
        """Open an item unless the open one has this kind and call index."""
        current = self._open
        if current is not None and type(current) is kind and current.index == index:
            return
        yield from self._close("completed")
        self._open = kind(index, len(self.items), call)
        self.items.append(self._open.item)
        yield from self._open.begin()

    def _extend(self, piece: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        assert self._open is not None
        if piece or logprobs:
            yield self._open.extend(piece, logprobs)

    def _close(self, status: Status) -> Iterator[Event]:
        if self._open is not None:
            yield from self._open.end(status)
        self._open = None


class _OpenItem(ABC):
    """An item that is still being produced."""

    prefix: str
    event: str

    def __init__(self, index: int, output_index: int, call: ToolCallDelta | None) -> None:
        self.index = index
        self.item: Item = {"id": new_id(self.prefix), **self.fields(call), "status": "in_progress"}
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprobs] = []
        self._at = {"output_index": output_index}
        self._where = {"item_id": self.item["id"], **self._at}

    @abstractmethod
    def fields(self, call: ToolCallDelta | None) -> dict[str, Any]:
        """Return the item's fields when it is opened."""

    def begin(self) -> Iterator[Event]:
        """Yield the events that open the item."""
        yield {"type": "response.output_item.added", **self._at, "item": dict(self.item)}

    def extend(self, piece: str, logprobs: Sequence[TokenLogprobs]) -> Event:
        """Add a piece of text or arguments, and return its event."""
        self._pieces.append(piece)
        return {"type": f"{self.event}.delta", **self._where, "delta": piece}

    def end(self, status: Status) -> Iterator[Event]:
        """Yield the events that close the item."""
        self.item["status"] = status
        yield {"type": "response.output_item.done", **self._at, "item": dict(self.item)}


class _ContentItem(_OpenItem):
    """An item whose text is in a content part."""

    @abstractmethod
    def part(self, text: str, logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """Return the content part with this text."""

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        self._where["content_index"] = 0
        yield {"type": "response.content_part.added", **self._where, "part": self.part("", [])}

    def end(self, status: Status) -> Iterator[Event]:
        text = "".join(self._pieces)
        part = self.part(text, self._logprobs)
        yield {"type": f"{self.event}.done", **self._where, "text": text}
        yield {"type": "response.content_part.done", **self._where, "part": part}
        self.item["content"] = [part]
        yield from super().end(status)


class _Reasoning(_ContentItem):
    prefix, event = "rs_", "response.reasoning_text"

    def fields(self, call: ToolCallDelta | None) -> dict[str, Any]:
        return {"type": "reasoning", "summary": [], "content": []}

    def part(self, text: str, logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": text}


class _Message(_ContentItem):
    prefix, event = "msg_", "response.output_text"

    def fields(self, call: ToolCallDelta | None) -> dict[str, Any]:
        return {"type": "message", "role": "assistant", "content": []}

    def part(self, text: str, logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}

    def extend(self, piece: str, logprobs: Sequence[TokenLogprobs]) -> Event:
        self._logprobs += logprobs
        return {**super().extend(piece, logprobs), "logprobs": logprobs}

    def end(self, status: Status) -> Iterator[Event]:
        for event in super().end(status):
            yield event | {"logprobs": self._logprobs} if event["type"] == f"{self.event}.done" else event


class _FunctionCall(_OpenItem):
    prefix, event = "fc_", "response.function_call_arguments"

    def fields(self, call: ToolCallDelta | None) -> dict[str, Any]:
        assert call is not None
        return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": ""}

    def end(self, status: Status) -> Iterator[Event]:
        self.item["arguments"] = "".join(self._pieces)
        yield {
            "type": f"{self.event}.done", **self._where, "name": self.item["name"], "arguments": self.item["arguments"]
        }  # fmt: skip
        yield from super().end(status)
