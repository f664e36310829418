"""Operators that clean datasets, and the forecast of a recipe's effect on a dataset."""

from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class OperatorDescription(Description, frozen=True, kw_only=True):
    """A kind of operator that a recipe may name."""

    name: str = ""
    version: int = 1
    description: str = ""
    options: dict[str, str] = msgspec.field(default_factory=dict)
    """{option: its description}."""


class LeftOutRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is left out."""

    id: str
    text: str
    """The beginning of its texts."""
    detail: str | None = None


class LeftOutDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that one operator leaves out for one reason."""

    operator: str
    reason: str
    num_rows: int
    examples: list[LeftOutRow] = []
    """The first few."""


class ForecastDescription(Description, frozen=True, kw_only=True):
    """The effect that a recipe would have on a version."""

    version: str = ""
    num_rows: int = 0
    num_kept: int = 0
    num_changed: int = 0
    left_out: list[LeftOutDescription] = msgspec.field(default_factory=list)
    recipe: dict[str, Any] = msgspec.field(default_factory=dict)
