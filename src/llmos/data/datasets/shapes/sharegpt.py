"""ShareGPT's conversations: {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import ChatContent, Message, Role
from llmos.data.datasets.shapes import Fields, Shape
from llmos.data.datasets.shapes._messages import plain_turns

_ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
_NAMES = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


class Turn(msgspec.Struct, kw_only=True, gc=False):
    speaker: str = msgspec.field(name="from")
    value: str


class ShareGptFields(Fields, kw_only=True):
    conversations: list[Turn]
    system: str | None = None


def _fits(record: Mapping[str, Any]) -> bool:
    turns = record.get("conversations")
    return isinstance(turns, list) and all(
        isinstance(each, dict) and {"from", "value"} <= each.keys() for each in turns
    )


def _read(fields: ShareGptFields) -> ChatContent:
    try:
        messages = [Message(role=_ROLES[turn.speaker], content=turn.value) for turn in fields.conversations]
    except KeyError as error:
        raise BadRequest(
            f"`from` is {error.args[0][:80]!r}; it is one of {', '.join(_ROLES)}.", param="conversations[].from"
        ) from None
    if fields.system:
        messages.insert(0, Message(role="system", content=fields.system))
    return ChatContent(messages=messages)


def _write(content: ChatContent) -> dict[str, Any]:
    turns = plain_turns(content, "sharegpt")
    return {"conversations": [{"from": _NAMES.get(role, role), "value": text} for role, text in turns]}


SHAPE = Shape(
    name="sharegpt",
    title="ShareGPT's conversations",
    kind="chat",
    fields=ShareGptFields,
    fits=_fits,
    read=_read,
    write=_write,
)
