"""The items of /v1/responses: what callers send as `input`, what is kept of it, and the messages that they come to."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from msgspec import field

from llmos.core.errors import BadRequest
from llmos.core.ids import new_id
from llmos.gateway.calls.conversation import read_arguments
from llmos.gateway.http.requests import RequestObject, Unsupported, Variants

Item = dict[str, Any]
"""In the form in which it is kept and listed: with its id and all of its fields."""
Status = Literal["in_progress", "completed", "incomplete"]

_TEXT_ONLY = "this server reads and writes text only."


class InputText(RequestObject, kw_only=True, tag_field="type", tag="input_text"):
    text: str

    harmless = frozenset({"prompt_cache_breakpoint"})


class OutputText(RequestObject, kw_only=True, tag_field="type", tag="output_text"):
    text: str

    harmless = frozenset({"annotations", "logprobs"})


class ReasoningText(RequestObject, kw_only=True, tag_field="type", tag="reasoning_text"):
    text: str


_NO_TEXT = {
    "refusal": "a refusal is not a text that the model can read. Send it as an output_text.",
    "text": "it is called input_text here, and output_text where an assistant speaks.",
    **dict.fromkeys(("input_image", "input_file", "input_audio"), _TEXT_ONLY),
}
_SAID = Variants({"input_text": InputText, "output_text": OutputText}, refused=_NO_TEXT)
_GIVEN = Variants({"input_text": InputText}, refused=_NO_TEXT)


class MessageItem(RequestObject, kw_only=True, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    """developer is the same as system."""
    content: str | list[InputText | OutputText]
    """Parts are joined by line breaks. Those of an assistant are output_text."""
    id: str = ""

    harmless = frozenset({"status", "phase"})
    variants: ClassVar = {"content": _SAID}

    def kept(self, path: str) -> Item:
        is_assistant = self.role == "assistant"
        kind = "output_text" if is_assistant else "input_text"
        more: Item = {"annotations": []} if is_assistant else {}
        parts = [InputText(text=self.content)] if isinstance(self.content, str) else self.content
        for place, part in enumerate(parts if isinstance(self.content, list) else ()):
            if isinstance(part, OutputText) != is_assistant:
                where = f"{path}.content[{place}].type"
                raise BadRequest(f"`{where}` must be {kind!r} in a message of the role {self.role}.", param=where)
        content = [{"type": kind, "text": part.text, **more} for part in parts]
        head = {"id": self.id or new_id("msg_"), "type": "message", "role": self.role, "status": "completed"}
        return {**head, "content": content}


class FunctionCallItem(RequestObject, kw_only=True, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str
    """A JSON object."""
    id: str = ""
    status: Status = "completed"

    unsupported: ClassVar = {
        "namespace": Unsupported("there are functions only. Leave it out."),
        "caller": Unsupported("calls come from the model only. Leave it out."),
        "async": Unsupported("a call is answered before the model goes on.", (False,)),
    }

    def kept(self, path: str) -> Item:
        read_arguments(self.arguments, f"{path}.arguments")
        head = {"id": self.id or new_id("fc_"), "type": "function_call", "status": self.status}
        return {**head, "call_id": self.call_id, "name": self.name, "arguments": self.arguments}


class FunctionCallOutputItem(RequestObject, kw_only=True, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str | list[InputText]
    """Parts are joined by line breaks."""
    id: str = ""

    harmless = frozenset({"status", "name"})
    unsupported: ClassVar = {name: FunctionCallItem.unsupported[name] for name in ("namespace", "caller")}
    variants: ClassVar = {"output": _GIVEN}

    def kept(self, path: str) -> Item:
        output = self.output if isinstance(self.output, str) else "\n".join(part.text for part in self.output)
        head = {"id": self.id or new_id("fco_"), "type": "function_call_output", "status": "completed"}
        return {**head, "call_id": self.call_id, "output": output}


class ReasoningItem(RequestObject, kw_only=True, tag_field="type", tag="reasoning"):
    content: list[ReasoningText] = field(default_factory=list)
    id: str = ""

    harmless = frozenset({"status"})
    variants: ClassVar = {"content": Variants({"reasoning_text": ReasoningText})}
    unsupported: ClassVar = {
        "summary": Unsupported("the model reads its own words, not a summary. Send them as `content`.", ([],)),
        "encrypted_content": Unsupported("it can't be read here. Send the `content`, or leave the item out."),
    }

    def kept(self, path: str) -> Item:
        content = [{"type": "reasoning_text", "text": part.text} for part in self.content]
        head = {"id": self.id or new_id("rs_"), "type": "reasoning", "status": "completed"}
        return {**head, "summary": [], "content": content}


InputItem = MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem

INPUT_ITEMS = Variants(
    {
        "message": MessageItem,
        "function_call": FunctionCallItem,
        "function_call_output": FunctionCallOutputItem,
        "reasoning": ReasoningItem,
    },
    refused={
        "item_reference": "items can't be sent by reference. Send the item itself, or `previous_response_id`.",
        "compaction": "it can't be read here. Send the items that it stands for.",
    },
    default="message",
)


def kept_items(given: str | Sequence[InputItem]) -> list[Item]:
    """Return the items of a request's `input`, each with an id. Raises BadRequest naming `input[i]…`."""
    if isinstance(given, str):
        return [MessageItem(role="user", content=given).kept("input")]
    return [item.kept(f"input[{place}]") for place, item in enumerate(given)]


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
