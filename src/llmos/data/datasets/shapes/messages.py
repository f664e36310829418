"""OpenAI's messages: {"messages": [{"role": "user", "content": "…"}, …], "tools": […]}."""

from collections.abc import Mapping
from typing import Any

from llmos.data.datasets.contents import ChatContent, Message
from llmos.data.datasets.shapes import Fields, Shape


class MessagesFields(Fields, kw_only=True):
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None


def _fits(record: Mapping[str, Any]) -> bool:
    messages = record.get("messages")
    return isinstance(messages, list) and all(isinstance(each, dict) and "role" in each for each in messages)


def _read(fields: MessagesFields) -> ChatContent:
    return ChatContent(messages=fields.messages, tools=fields.tools)


def _write(content: ChatContent) -> dict[str, Any]:
    return {"messages": content.messages} | ({"tools": content.tools} if content.tools else {})


SHAPE = Shape(
    name="messages",
    title="OpenAI's messages",
    kind="chat",
    fields=MessagesFields,
    fits=_fits,
    read=_read,
    write=_write,
)
