"""Conversations in ChatML, as one text: {"text": "<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n…"}."""

import re
from collections.abc import Mapping
from typing import Any, cast

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import ChatContent, Message, Role
from llmos.data.datasets.shapes import Fields, Shape
from llmos.data.datasets.shapes._messages import plain_turns

_START, _END = "<|im_start|>", "<|im_end|>"
_TURN = re.compile(
    r"<\|im_start\|>(system|developer|user|assistant|tool|function)\n(.*?)(?:<\|im_end\|>\s*|\Z)", re.DOTALL
)


class ChatMlFields(Fields, kw_only=True):
    text: str


def _fits(record: Mapping[str, Any]) -> bool:
    text = record.get("text")
    return isinstance(text, str) and text.lstrip().startswith(_START)


def _read(fields: ChatMlFields) -> ChatContent:
    messages, position, text = [], 0, fields.text.strip()
    while position < len(text):
        match = _TURN.match(text, position)
        if match is None:
            raise BadRequest(f"A turn begins with {_START} and a role; here stands {text[position : position + 40]!r}.")
        messages.append(Message(role=cast(Role, match[1]), content=match[2]))
        position = match.end()
    return ChatContent(messages=messages)


def _write(content: ChatContent) -> dict[str, Any]:
    turns = plain_turns(content, "chatml")
    if any(_END in text or _START in text for _, text in turns):
        raise BadRequest(f"A message has {_START} or {_END} in it, which ChatML can't say.", param="as")
    return {"text": "".join(f"{_START}{role}\n{text}{_END}\n" for role, text in turns)}


SHAPE = Shape(
    name="chatml",
    title="conversations in ChatML",
    kind="chat",
    fields=ChatMlFields,
    fits=_fits,
    read=_read,
    write=_write,
)
