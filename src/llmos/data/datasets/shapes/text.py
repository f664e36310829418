"""Plain texts: {"text": "…"}."""

from collections.abc import Mapping
from typing import Any

from llmos.data.datasets.contents import TextContent
from llmos.data.datasets.shapes import Fields, Shape


class TextFields(Fields, kw_only=True):
    text: str


def _fits(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("text"), str)


def _read(fields: TextFields) -> TextContent:
    return TextContent(text=fields.text)


def _write(content: TextContent) -> dict[str, Any]:
    return {"text": content.text}


SHAPE = Shape(
    name="text", title="plain texts", kind="text", fields=TextFields, fits=_fits, read=_read, write=_write, rank=1
)
