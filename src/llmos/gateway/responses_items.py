"""The items of /v1/responses: what callers send as `input`, what is kept of it, and the messages that they come to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import field

from llmos.core.errors import BadRequest
from llmos.core.ids import new_id
from llmos.gateway.conversation import read_arguments
from llmos.gateway.wire import Unsupported, WireRequest, convert

Item = dict[str, Any]
"""In the form in which it is kept and listed: with its id and all of its fields."""

_TEXT_ONLY = "this server reads and writes text only."
_STATUS = frozenset({"status"})

Status = Literal["in_progress", "completed", "incomplete"]


class TextPart(WireRequest, kw_only=True):
    type: str
    """input_text, or output_text of an assistant."""
    text: str

    harmless = frozenset({"annotations", "logprobs", "prompt_cache_breakpoint"})


class MessageItem(WireRequest, kw_only=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[dict[str, Any]]
    type: Literal["message"] = "message"
    id: str = ""

    harmless = _STATUS | {"phase"}


class FunctionCallItem(WireRequest, kw_only=True):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    """A JSON object."""
    id: str = ""
    status: Status = "completed"


class FunctionCallOutputItem(WireRequest, kw_only=True):
    type: Literal["function_call_output"]
    call_id: str
    output: str | list[dict[str, Any]]
    id: str = ""

    harmless = _STATUS


class ReasoningItem(WireRequest, kw_only=True):
    type: Literal["reasoning"]
    content: list[dict[str, Any]] = field(default_factory=list)
    id: str = ""

    harmless = _STATUS
    unsupported: ClassVar = {
        "summary": Unsupported("the model reads its own words, not a summary. Send them as `content`.", ([],)),
        "encrypted_content": Unsupported("it can't be read here. Send the `content`, or leave the item out."),
    }


def read_input(given: str | Sequence[dict[str, Any]]) -> list[Item]:
    """Return the items of a request's `input`, each with an id. Raises BadRequest naming `input[i]…`."""
    if isinstance(given, str):
        return [_spelled(MessageItem(role="user", content=given), "input")]
    return [_read(item, f"input[{place}]") for place, item in enumerate(given)]


def _read(item: dict[str, Any], path: str) -> Item:
    kind = item.get("type", "message")
    if not isinstance(kind, str) or kind not in _KINDS:
        *first, last = _KINDS
        advice = _ADVICE.get(str(kind), f"there are {', '.join(first)} and {last}.")
        raise BadRequest(f"`{path}.type` is {kind!r:.100}: {advice}", param=f"{path}.type")
    struct, spell = _KINDS[kind]
    return spell(convert(item, struct, f"{path}."), path)


def _spelled(item: MessageItem, path: str) -> Item:
    text_type = "output_text" if item.role == "assistant" else "input_text"
    texts = _texts(item.content, text_type, f"{path}.content")
    more: Item = {"annotations": []} if item.role == "assistant" else {}
    content = [{"type": text_type, "text": text, **more} for text in texts]
    id = item.id or new_id("msg_")
    return {"id": id, "type": "message", "role": item.role, "status": "completed", "content": content}


def _spelled_call(item: FunctionCallItem, path: str) -> Item:
    read_arguments(item.arguments, f"{path}.arguments")
    spelled: Item = msgspec.to_builtins(item)
    return spelled | {"id": item.id or new_id("fc_")}


def _spelled_result(item: FunctionCallOutputItem, path: str) -> Item:
    output = item.output
    if not isinstance(output, str):
        output = "\n".join(_texts(output, "input_text", f"{path}.output"))
    id = item.id or new_id("fco_")
    return {"id": id, "type": item.type, "status": "completed", "call_id": item.call_id, "output": output}


def _spelled_reasoning(item: ReasoningItem, path: str) -> Item:
    texts = _texts(item.content, "reasoning_text", f"{path}.content")
    content = [{"type": "reasoning_text", "text": text} for text in texts]
    id = item.id or new_id("rs_")
    return {"id": id, "type": item.type, "status": "completed", "summary": [], "content": content}


_KINDS: Mapping[str, tuple[type[WireRequest], Callable[[Any, str], Item]]] = {
    "message": (MessageItem, _spelled),
    "function_call": (FunctionCallItem, _spelled_call),
    "function_call_output": (FunctionCallOutputItem, _spelled_result),
    "reasoning": (ReasoningItem, _spelled_reasoning),
}
_ADVICE = {
    "item_reference": "items can't be sent by reference. Send the item itself, or `previous_response_id`.",
    "compaction": "it can't be read here. Send the items that it stands for.",
}


def _texts(content: str | Sequence[dict[str, Any]], wanted: str, path: str) -> list[str]:
    if isinstance(content, str):
        return [content]
    texts = []
    for place, part in enumerate(content):
        kind = part.get("type")
        if kind != wanted:
            known = kind in ("input_text", "output_text", "reasoning_text")
            advice = f"it must be {wanted!r} here." if known or kind is None else f"{_TEXT_ONLY} Send {wanted!r}."
            raise BadRequest(
                f"`{path}[{place}]` is a part of type {kind!r:.100}: {advice}", param=f"{path}[{place}].type"
            )
        texts.append(convert(part, TextPart, f"{path}[{place}].").text)
    return texts


def check_calls(items: Sequence[Item], num_before: int) -> None:
    """Raise BadRequest for a call without a result, or a result without a call. The first `num_before` of the items
    came with `previous_response_id`, the others in `input`."""
    calls = {item["call_id"]: place for place, item in enumerate(items) if item["type"] == "function_call"}
    results = {item["call_id"]: place for place, item in enumerate(items) if item["type"] == "function_call_output"}
    for call_id, place in results.items():
        if call_id not in calls:
            path = f"input[{place - num_before}].call_id"
            raise BadRequest(
                f"`{path}` is {call_id!r:.100}, and there is no such call. Before it comes the function_call with that"
                " `call_id`, in `input` or in the response that `previous_response_id` names.",
                param=path,
            )
    for call_id, place in calls.items():
        if call_id not in results:
            path = f"input[{place - num_before}]" if place >= num_before else "previous_response_id"
            raise BadRequest(
                f"The call {call_id!r:.100} of `{path}` has no result. Send a function_call_output with this `call_id`"
                " in `input`, before anything else.",
                param=path,
            )


class Conversation:
    """Items as the messages that chat templates know. What an assistant thinks, says and calls is one message."""

    def __init__(self, instructions: str | None, items: Sequence[Item]) -> None:
        self.messages: list[dict[str, Any]] = []
        self.places: list[int] = []
        """Of each message, which item it began with."""
        self._place = 0
        self._thought = ""
        if instructions is not None:
            self._append({"role": "system", "content": instructions})
        for self._place, item in enumerate(items):
            self._add(item)
        if self._thought:
            self._append_assistant("")

    def _add(self, item: Item) -> None:
        kind = item["type"]
        if kind == "reasoning":
            self._thought += _joined(item)
        elif kind == "function_call":
            self._calling()["tool_calls"].append(_call(item))
        elif item.get("role") == "assistant":
            self._append_assistant(_joined(item))
        else:
            if self._thought:
                self._append_assistant("")
            self._append(_result(item) if kind == "function_call_output" else _said(item))

    def _calling(self) -> dict[str, Any]:
        """The assistant's message that a call belongs to."""
        if self._thought or not self.messages or self.messages[-1]["role"] != "assistant":
            self._append_assistant("")
        self.messages[-1].setdefault("tool_calls", [])
        return self.messages[-1]

    def _append_assistant(self, content: str) -> None:
        message = {"role": "assistant", "content": content}
        if self._thought:
            message["reasoning_content"] = self._thought
        self._thought = ""
        self._append(message)

    def _append(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.places.append(self._place)


def _joined(item: Item) -> str:
    return "\n".join(part["text"] for part in item["content"])


def _said(item: Item) -> dict[str, Any]:
    return {"role": "system" if item["role"] == "developer" else item["role"], "content": _joined(item)}


def _call(item: Item) -> dict[str, Any]:
    try:
        function = {"name": item["name"], "arguments": read_arguments(item["arguments"], "")}
    except BadRequest as error:  # What callers send was read before: this one is of our own making.
        raise BadRequest(
            f"The call of {item['name']} was cut off before its arguments were whole, so nothing can go on from it."
            " Repeat the request that led to it with a higher `max_output_tokens`.",
            param="previous_response_id",
        ) from error
    return {"id": item["call_id"], "type": "function", "function": function}


def _result(item: Item) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
