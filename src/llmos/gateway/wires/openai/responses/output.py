"""Conversion of an answer's deltas to the items of a response, and to the events that report each change."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from llmos.core.ids import new_id
from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.wires.openai.answers import TokenLogprobs, token_logprobs
from llmos.gateway.wires.openai.passages import FoundPassage
from llmos.gateway.wires.openai.responses.file_search import NAME as FILE_SEARCH
from llmos.gateway.wires.openai.responses.file_search import without_results
from llmos.gateway.wires.openai.responses.items import Item, Status

Event = dict[str, Any]
"""An event without its sequence_number."""

Annotation = dict[str, Any]

Cite = Callable[[str], Sequence[Annotation]]
"""Returns the annotations of a complete text."""


class OutputItems:
    """The items of one answer, in the order in which the model produced them."""

    def __init__(self, *, wants_logprobs: bool, runs_searches: bool = False, wants_results: bool = False) -> None:
        """`runs_searches`: calls of file_search are the server's own. `wants_results`: callers see what they found."""
        self.items: list[Item] = []
        """Searches have their results."""
        self.num_reasoning_tokens = 0
        self.cite: Cite | None = None
        self._wants_logprobs = wants_logprobs
        self._runs_searches, self._wants_results = runs_searches, wants_results
        self._open: _OpenItem | None = None
        self._num_earlier_reasoning_tokens = 0
        self._searches: list[_FileSearch] = []

    def add(self, delta: Delta) -> Iterator[Event]:
        """Add a delta, and yield its events. The iterator must be read to its end."""
        if delta.reasoning:
            self.num_reasoning_tokens = self._num_earlier_reasoning_tokens + delta.num_output_tokens
            yield from self._open_item(_Reasoning, 0)
            yield from self._extend(delta.reasoning)
        logprobs = token_logprobs(delta.logprobs) if self._wants_logprobs and not delta.reasoning else []
        if delta.text or (logprobs and not delta.tool_calls):
            yield from self._open_item(_Message, 0)
            yield from self._extend(delta.text, logprobs)
        for call in delta.tool_calls:
            yield from self._open_item(self._kind_of_call(call), call.index, call)
            yield from self._extend(call.arguments)

    def end(self, *, is_cut: bool) -> Iterator[Event]:
        """Close the last item, and yield its events. `is_cut`: the item is incomplete.

        An empty answer becomes an empty message, also behind a search.
        """
        if self._open is None and not self.has_calls:
            yield from self._open_item(_Message, 0)
        yield from self._close("incomplete" if is_cut else "completed")

    @property
    def visible_items(self) -> list[Item]:
        """The items as the caller gets them."""
        return self.items if self._wants_results else [without_results(item) for item in self.items]

    @property
    def has_calls(self) -> bool:
        """Return whether the caller has functions to run."""
        return any(item["type"] == "function_call" for item in self.items)

    def begin_searches(self) -> Iterator[Event]:
        """End a round of the model, and yield the events of the searches that it asked for."""
        self._num_earlier_reasoning_tokens = self.num_reasoning_tokens
        yield from self._close("completed")
        for search in self._searches:
            yield search.event_of("searching")

    def pending_searches(self) -> "Sequence[_FileSearch]":
        """Return the searches that the model asked for and that aren't ended."""
        return self._searches

    def end_searches(self) -> Iterator[Event]:
        """Yield the events that close the searches, whose items have their results."""
        searches, self._searches = self._searches, []
        for search in searches:
            yield search.event_of("completed")
            yield from search.close(wants_results=self._wants_results)

    def _kind_of_call(self, call: ToolCallDelta) -> "type[_OpenItem]":
        if call.name:
            return _FileSearch if self._runs_searches and call.name == FILE_SEARCH else _FunctionCall
        return type(self._open) if self._open is not None else _FunctionCall  # a further piece of the open call

    def _open_item(self, kind: "type[_OpenItem]", index: int, call: ToolCallDelta | None = None) -> Iterator[Event]:
        """Open an item unless the open one has this kind and call index."""
        current = self._open
        if current is not None and type(current) is kind and current.index == index:
            return
        yield from self._close("completed")
        self._open = kind(index, len(self.items), call)
        self._open.cite = self.cite
        self.items.append(self._open.item)
        if isinstance(self._open, _FileSearch):
            self._searches.append(self._open)
        yield from self._open.begin()

    def _extend(self, piece: str, logprobs: Sequence[TokenLogprobs] = ()) -> Iterator[Event]:
        assert self._open is not None
        if (piece or logprobs) and (event := self._open.extend(piece, logprobs)) is not None:
            yield event

    def _close(self, status: Status) -> Iterator[Event]:
        if self._open is not None:
            yield from self._open.end(status)
        self._open = None


class _OpenItem(ABC):
    """An item that is still being produced."""

    prefix: str
    event: str
    cite: Cite | None = None

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

    def extend(self, piece: str, logprobs: Sequence[TokenLogprobs]) -> Event | None:
        """Add a piece of text or arguments, and return its event, if it has one."""
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
        for index, annotation in enumerate(part.get("annotations", ())):
            where = {**self._where, "annotation_index": index}
            yield {"type": f"{self.event}.annotation.added", **where, "annotation": annotation}
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
        annotations = list(self.cite(text)) if self.cite is not None else []
        return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": list(logprobs)}

    def extend(self, piece: str, logprobs: Sequence[TokenLogprobs]) -> Event | None:
        self._logprobs += logprobs
        return {**(super().extend(piece, logprobs) or {}), "logprobs": logprobs}

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


class _FileSearch(_OpenItem):
    """A search that the server runs. Its item stays open until the search has ended."""

    prefix, event = "fs_", "response.file_search_call"

    def fields(self, call: ToolCallDelta | None) -> dict[str, Any]:
        return {"type": "file_search_call", "queries": [], "results": None}

    @property
    def arguments(self) -> str:
        """Return the arguments with which the model called the function."""
        return "".join(self._pieces)

    def set_results(self, found: Sequence[FoundPassage]) -> None:
        self.item["results"] = [msgspec.to_builtins(each) for each in found]

    def begin(self) -> Iterator[Event]:
        yield from super().begin()
        yield self.event_of("in_progress")

    def extend(self, piece: str, logprobs: Sequence[TokenLogprobs]) -> Event | None:
        self._pieces.append(piece)
        return None

    def end(self, status: Status) -> Iterator[Event]:
        """The model has written the call. The item goes on until close(), unless the call was cut."""
        if status == "incomplete":
            yield from super().end(status)

    def close(self, *, wants_results: bool) -> Iterator[Event]:
        """Yield the event that closes the item."""
        self.item["status"] = "completed"
        item = dict(self.item) if wants_results else without_results(self.item)
        yield {"type": "response.output_item.done", **self._at, "item": item}

    def event_of(self, stage: str) -> Event:
        return {"type": f"{self.event}.{stage}", **self._where}
