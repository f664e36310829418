"""Runs one operator over texts or rows, and tells what it kept and why it dropped the others."""

from collections.abc import Sequence
from typing import Any

from llmos.data.datasets.rows import Row, make_row
from llmos.data.operators.cleaning import Forecast, forecast
from llmos.data.operators.operator import Context, Dropped, Item
from llmos.data.operators.recipe import make_recipe


def text_row(text: str, **columns: str | None) -> Row:
    return make_row("text", {"text": text}, **columns)


def chat_row(*texts: str, **columns: str | None) -> Row:
    """Return a conversation of these texts: the user's and the assistant's in turns."""
    messages = [
        {"role": role, "content": text} for role, text in zip(("user", "assistant") * len(texts), texts, strict=False)
    ]
    return make_row("chat", {"messages": messages}, **columns)


def operate(
    name: str, rows: Sequence[str | Row], context: Context | None = None, **options: Any
) -> tuple[list[Row], dict[int, Dropped]]:
    """Return the rows that the operator keeps, and {index: why it was dropped} of the others."""
    (step,) = make_recipe([{"name": name, **options}]).steps
    operator = step.open(context or Context())
    items = [Item(row, str(i)) for i, row in enumerate(_rows(rows))]
    dropped: dict[int, Dropped] = {}
    kept = list(operator.apply(items, lambda item, why: dropped.update({int(item.source): why})))
    assert [int(item.source) for item in kept] == [i for i in range(len(items)) if i not in dropped], (
        "the order changed"
    )
    return [item.row for item in kept], dropped


def foresee(rows: Sequence[str | Row], *operators: dict[str, Any], context: Context | None = None) -> Forecast:
    return forecast(_rows(rows), len(rows), make_recipe([*operators]), context or Context())


def _rows(rows: Sequence[str | Row]) -> list[Row]:
    return [text_row(row) if isinstance(row, str) else row for row in rows]
