"""Alpaca's instructions: {"instruction": "…", "input": "…", "output": "…"}. The input is a paragraph of its own."""

from collections.abc import Mapping
from typing import Any

from llmos.data.datasets.contents import ChatContent, Message
from llmos.data.datasets.shapes import Fields, Shape
from llmos.data.datasets.shapes._messages import one_turn


class AlpacaFields(Fields, kw_only=True):
    instruction: str
    input: str | None = None
    output: str
    system: str | None = None


def _fits(record: Mapping[str, Any]) -> bool:
    return {"instruction", "output"} <= record.keys()


def _read(fields: AlpacaFields) -> ChatContent:
    question = f"{fields.instruction}\n\n{fields.input}" if fields.input else fields.instruction
    messages = [Message(role="user", content=question), Message(role="assistant", content=fields.output)]
    if fields.system:
        messages.insert(0, Message(role="system", content=fields.system))
    return ChatContent(messages=messages)


def _write(content: ChatContent) -> dict[str, Any]:
    system, question, answer = one_turn(content, "alpaca")
    record = {"instruction": question, "input": "", "output": answer}
    return record | ({} if system is None else {"system": system})


SHAPE = Shape(
    name="alpaca", title="Alpaca's instructions", kind="chat", fields=AlpacaFields, fits=_fits, read=_read, write=_write
)
