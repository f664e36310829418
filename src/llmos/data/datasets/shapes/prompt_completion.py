"""Prompts and completions: {"prompt": "…", "completion": "…"}, each a text or messages."""

from collections.abc import Mapping
from typing import Any

from llmos.data.datasets.contents import ChatContent, Message
from llmos.data.datasets.shapes import Fields, Shape
from llmos.data.datasets.shapes._messages import as_messages, as_text_or_messages


class PromptCompletionFields(Fields, kw_only=True):
    prompt: str | list[Message]
    completion: str | list[Message]
    tools: list[dict[str, Any]] | None = None


def _fits(record: Mapping[str, Any]) -> bool:
    return {"prompt", "completion"} <= record.keys()


def _read(fields: PromptCompletionFields) -> ChatContent:
    messages = [*as_messages(fields.prompt, "user"), *as_messages(fields.completion, "assistant")]
    return ChatContent(messages=messages, tools=fields.tools)


def _write(content: ChatContent) -> dict[str, Any]:
    prompt, completion = content.messages[:-1], content.messages[-1:]
    record: dict[str, Any] = {
        "prompt": as_text_or_messages(prompt, "user"),
        "completion": as_text_or_messages(completion, "assistant"),
    }
    return record | ({"tools": content.tools} if content.tools else {})


SHAPE = Shape(
    name="prompt-completion",
    title="prompts and completions",
    kind="chat",
    fields=PromptCompletionFields,
    fits=_fits,
    read=_read,
    write=_write,
)
