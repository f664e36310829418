"""Preferences: {"prompt": "…", "chosen": "…", "rejected": "…"}, each a text or messages.

Without a prompt, the messages that chosen and rejected begin with in common are the prompt.
"""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import Message, PreferenceContent
from llmos.data.datasets.shapes import Fields, Shape
from llmos.data.datasets.shapes._messages import as_messages, as_text_or_messages


class PreferenceFields(Fields, kw_only=True):
    prompt: str | list[Message] | None = None
    chosen: str | list[Message]
    rejected: str | list[Message]


def _fits(record: Mapping[str, Any]) -> bool:
    return {"chosen", "rejected"} <= record.keys()


def _read(fields: PreferenceFields) -> PreferenceContent:
    chosen, rejected = as_messages(fields.chosen, "assistant"), as_messages(fields.rejected, "assistant")
    if fields.prompt is not None:
        messages = as_messages(fields.prompt, "user")
        size = len(messages)
        if _both_repeat(messages, chosen, rejected):  # Some do in all records.
            chosen, rejected = chosen[size:], rejected[size:]
        return PreferenceContent(messages=messages, chosen=chosen, rejected=rejected)
    size = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))))
    if not size:
        raise BadRequest("There is no prompt, and the two answers begin with no message in common.", param="prompt")
    return PreferenceContent(messages=chosen[:size], chosen=chosen[size:], rejected=rejected[size:])


def _write(content: PreferenceContent) -> dict[str, Any]:
    chosen, rejected = content.chosen, content.rejected
    if _both_repeat(
        content.messages, chosen, rejected
    ):  # Without this, an import would take the answers' own beginning.
        chosen, rejected = content.messages + chosen, content.messages + rejected
    return {
        "prompt": as_text_or_messages(content.messages, "user"),
        "chosen": as_text_or_messages(chosen, "assistant"),
        "rejected": as_text_or_messages(rejected, "assistant"),
    }


def _both_repeat(prompt: list[Message], chosen: list[Message], rejected: list[Message]) -> bool:
    """Return whether both answers begin with the prompt."""
    return chosen[: len(prompt)] == rejected[: len(prompt)] == prompt


SHAPE = Shape(
    name="preference",
    title="prompts with a chosen and a rejected answer",
    kind="preference",
    fields=PreferenceFields,
    fits=_fits,
    read=_read,
    write=_write,
)
