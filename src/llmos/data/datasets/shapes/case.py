"""Cases for evaluations: {"input": "…" or messages, "expected": any JSON}."""

from collections.abc import Mapping
from typing import Any

from llmos.data.datasets.contents import CaseContent, Message
from llmos.data.datasets.shapes import Fields, Shape


class CaseFields(Fields, kw_only=True):
    input: str | list[Message]
    expected: Any = None


def _fits(record: Mapping[str, Any]) -> bool:
    return "input" in record and "expected" in record


def _read(fields: CaseFields) -> CaseContent:
    return CaseContent(input=fields.input, expected=fields.expected)


def _write(content: CaseContent) -> dict[str, Any]:
    return {"input": content.input, "expected": content.expected}


SHAPE = Shape(
    name="case", title="cases for evaluations", kind="case", fields=CaseFields, fits=_fits, read=_read, write=_write
)
