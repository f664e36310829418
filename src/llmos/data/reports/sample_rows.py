"""Rows of a dataset as HTML: who says what, and the columns beside it. Long texts are cut."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from llmos.core.schemas.datasets import RowDescription

_SHOWN_CHARACTERS = 2000
_COLUMNS = ("origin", "language", "license", "consent", "split")


def sample(row: RowDescription) -> str:
    """Return a row."""
    columns = [f"{name} {value}" for name in _COLUMNS if (value := getattr(row, name))]
    said = "".join(
        f'<p class="role">{escape(label)}</p><p class="text" dir="auto">{escape(_cut(text))}</p>'
        for label, text in _parts(row.content)
    )
    about = f'<p class="dim"><code>{escape(row.id[:12])}</code> {escape(" · ".join(columns))}</p>'
    return f'<div class="row">{said}{about}</div>'


def _parts(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of a content, in the order in which people read it."""
    for name in ("messages", "input", "text", "expected", "chosen", "rejected", "tools"):
        value = content.get(name)
        if isinstance(value, list) and name not in ("expected", "tools"):
            answer = f"{name}: " if name in ("chosen", "rejected") else ""
            yield from ((f"{answer}{message['role']}", _text(message)) for message in value)
        elif value is not None:
            yield name, value if isinstance(value, str) else _json(value)


def _text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, and what else it has as JSON."""
    content = message.get("content")
    parts = [content] if isinstance(content, str) else [_json(content)] if content else []
    others = {name: value for name, value in message.items() if name not in ("role", "content")}
    return "\n".join([*parts, *([_json(others)] if others else [])])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    more = len(text) - _SHOWN_CHARACTERS
    return text if more <= 0 else f"{text[:_SHOWN_CHARACTERS]}… and {more:,} more characters"
