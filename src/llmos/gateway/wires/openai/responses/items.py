"""The items of /v1/responses: parsed from `input`, and stored with an id."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import field

from llmos.core.errors import BadRequest
from llmos.core.ids import new_id
from llmos.gateway.calls.conversation import check_arguments, is_cut, left_out
from llmos.gateway.http.requests import Hint, RequestObject, Unsupported, Variants
from llmos.gateway.wires.openai.responses.compaction import read_summary

Item = dict[str, Any]
"""An item as it is stored and listed, with its id and all fields."""

Status = Literal["in_progress", "completed", "incomplete"]

_TEXT_ONLY = "this server supports text only."


class InputText(RequestObject, kw_only=True, tag_field="type", tag="input_text"):
    text: str

    harmless = frozenset({"prompt_cache_breakpoint"})


class OutputText(RequestObject, kw_only=True, tag_field="type", tag="output_text"):
    text: str

    harmless = frozenset({"annotations", "logprobs"})


class ReasoningText(RequestObject, kw_only=True, tag_field="type", tag="reasoning_text"):
    text: str


_REFUSED_PARTS = {
    "refusal": "the model reads text only. Send the refusal as an output_text.",
    "text": "use input_text, or output_text in an assistant message.",
    **dict.fromkeys(("input_image", "input_file", "input_audio"), _TEXT_ONLY),
}

_MESSAGE_PARTS = Variants({"input_text": InputText, "output_text": OutputText}, refused=_REFUSED_PARTS)

_OUTPUT_PARTS = Variants(
    {"input_text": InputText},
    refused=_REFUSED_PARTS,
    replaced={
        kind: {"type": "input_text", "text": left_out(what)}
        for kind, what in (("input_image", "picture"), ("input_file", "file"), ("input_audio", "recording"))
    },
)
"""The parts of a tool's result. The conversation goes on without those that the model can't read."""


class MessageItem(RequestObject, kw_only=True, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    """developer is a synonym of system."""
    content: str | list[InputText | OutputText]
    """Parts are joined by line breaks. Those of an assistant message are output_text."""
    id: str = ""

    harmless = frozenset({"status", "phase"})
    variants: ClassVar = {"content": _MESSAGE_PARTS}

    def to_item(self, path: str) -> Item:
        """Return the item in the form in which it is stored. Raises BadRequest naming a field below `path`."""
        is_assistant = self.role == "assistant"
        kind = "output_text" if is_assistant else "input_text"
        more: Item = {"annotations": []} if is_assistant else {}
        parts = [InputText(text=self.content)] if isinstance(self.content, str) else self.content
        for index, part in enumerate(parts if isinstance(self.content, list) else ()):
            if isinstance(part, OutputText) != is_assistant:
                where = f"{path}.content[{index}].type"
                raise BadRequest(f"`{where}` must be {kind!r} in a message with the role {self.role}.", param=where)
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
        "namespace": Unsupported("only functions are supported. Leave it out."),
        "caller": Unsupported("only the model makes calls. Leave it out."),
        "async": Unsupported("the model continues only after the call's result.", (False,)),
    }

    def to_item(self, path: str) -> Item:
        """Return the item in the form in which it is stored. Raises BadRequest naming a field below `path`."""
        check_arguments(self.arguments, f"{path}.arguments")
        head = {"id": self.id or new_id("fc_"), "type": "function_call", "status": self.status}
        return {**head, "call_id": self.call_id, "name": self.name, "arguments": self.arguments}


class FunctionCallOutputItem(RequestObject, kw_only=True, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str | list[InputText]
    """Parts are joined by line breaks."""
    id: str = ""

    harmless = frozenset({"status", "name"})
    unsupported: ClassVar = {name: FunctionCallItem.unsupported[name] for name in ("namespace", "caller")}
    variants: ClassVar = {"output": _OUTPUT_PARTS}

    def to_item(self, path: str) -> Item:
        """Return the item in the form in which it is stored. Raises BadRequest naming a field below `path`."""
        output = self.output if isinstance(self.output, str) else "\n".join(part.text for part in self.output)
        head = {"id": self.id or new_id("fco_"), "type": "function_call_output", "status": "completed"}
        return {**head, "call_id": self.call_id, "output": output}


class ReasoningItem(RequestObject, kw_only=True, tag_field="type", tag="reasoning"):
    content: list[ReasoningText] = field(default_factory=list)
    id: str = ""

    harmless = frozenset({"status"})
    variants: ClassVar = {"content": Variants({"reasoning_text": ReasoningText})}
    # Only those who wrote them can use them.
    unsupported: ClassVar = {"summary": Hint(([],)), "encrypted_content": Hint(("",))}

    def to_item(self, path: str) -> Item:
        """Return the item in the form in which it is stored. Raises BadRequest naming a field below `path`."""
        content = [{"type": "reasoning_text", "text": part.text} for part in self.content]
        head = {"id": self.id or new_id("rs_"), "type": "reasoning", "status": "completed"}
        return {**head, "summary": [], "content": content}


class CompactionItem(RequestObject, kw_only=True, tag_field="type", tag="compaction"):
    """A summary of what came before, from POST /v1/responses/compact."""

    encrypted_content: str
    id: str = ""

    harmless = frozenset({"status", "created_by"})

    def to_item(self, path: str) -> Item:
        """Return the item in the form in which it is stored. Raises BadRequest naming a field below `path`."""
        read_summary(self.encrypted_content, f"{path}.encrypted_content")
        return {"id": self.id or new_id("cmp_"), "type": "compaction", "encrypted_content": self.encrypted_content}


class FileSearchResult(RequestObject, kw_only=True):
    file_id: str = ""
    filename: str = ""
    text: str = ""
    score: float = 0
    attributes: dict[str, str | float | bool] = field(default_factory=dict)

    harmless = frozenset({"vector_store_id"})


class FileSearchCallItem(RequestObject, kw_only=True, tag_field="type", tag="file_search_call"):
    """A search of an earlier answer. The model reads its passages again if they come with it."""

    queries: list[str]
    results: list[FileSearchResult] | None = None
    id: str = ""

    harmless = frozenset({"status"})
    lists: ClassVar = {"results": FileSearchResult}

    def to_item(self, path: str) -> Item:
        """Return the item in the form in which it is stored."""
        head = {"id": self.id or new_id("fs_"), "type": "file_search_call", "status": "completed"}
        return {**head, "queries": self.queries, "results": msgspec.to_builtins(self.results)}


InputItem = (
    CompactionItem | FileSearchCallItem | MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem
)

INPUT_ITEMS = Variants(
    {
        "message": MessageItem,
        "function_call": FunctionCallItem,
        "function_call_output": FunctionCallOutputItem,
        "reasoning": ReasoningItem,
        "compaction": CompactionItem,
        "file_search_call": FileSearchCallItem,
    },
    refused={
        "item_reference": "items can't be referenced. Send the item itself, or `previous_response_id`.",
    },
    default="message",
)


def parse_items(value: str | Sequence[InputItem]) -> list[Item]:
    """Return the items of a request's `input`, each with an id. Raises BadRequest naming `input[i]…`."""
    if isinstance(value, str):
        return [MessageItem(role="user", content=value).to_item("input")]
    return [item.to_item(f"input[{index}]") for index, item in enumerate(value)]


def check_calls(items: Sequence[Item], num_before: int) -> None:
    """Raise BadRequest for a call without a result, unless it was cut off, or a result without a call.

    The first `num_before` items come from `previous_response_id`, the others from `input`.
    """
    calls = {item["call_id"]: index for index, item in enumerate(items) if item["type"] == "function_call"}
    cut = {call_id for call_id, index in calls.items() if is_cut(items[index]["arguments"] or "{}")}
    results = {item["call_id"]: index for index, item in enumerate(items) if item["type"] == "function_call_output"}
    for call_id, index in results.items():
        if call_id not in calls:
            path = f"input[{index - num_before}].call_id"
            raise BadRequest(
                f"`{path}` is {call_id!r:.100}, but there is no such call. Send the function_call with that `call_id`"
                " before it, in `input` or in the response that `previous_response_id` names.",
                param=path,
            )
    for call_id, index in calls.items():
        if call_id not in results and call_id not in cut:
            path = f"input[{index - num_before}]" if index >= num_before else "previous_response_id"
            raise BadRequest(
                f"The call {call_id!r:.100} of `{path}` has no result. Send a function_call_output with this `call_id`"
                " in `input`, before anything else.",
                param=path,
            )
