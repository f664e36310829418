"""Filters on the metadata of documents, as OpenAI's vector stores have them. They say which chunks may be found.

    {"type": "eq", "key": "region", "value": "eu"}            eq ne gt gte lt lte; value: text, number or boolean
    {"type": "in", "key": "year", "value": [2024, 2025]}      in nin
    {"type": "and", "filters": [...]}                         and or

Numbers compare with numbers and texts with texts, by code points; nothing else is greater or smaller. A document
without the key fits `ne` and `nin` alone. A boolean equals no number.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmos.core.errors import BadRequest
from llmos.data.knowledge.index.ranking import Mask

Metadata = Mapping[str, str | float | bool]
Value = str | float | bool

MAX_DEPTH = 16
MAX_COMPARISONS = 1000
"""Filters in a filter, and values of `in` and `nin`, altogether."""

_ORDERS = ("gt", "gte", "lt", "lte")
_TYPES = ("eq", "ne", *_ORDERS, "in", "nin", "and", "or")


class MetadataColumns:
    """The metadata of many documents by keys. Any thread may use it."""

    def __init__(self, metadata: Sequence[Metadata]) -> None:
        self._metadata = metadata
        self._columns: dict[str, _Column] = {}

    def matching(self, filters: object) -> Mask:
        """Return which documents fit. Raises BadRequest for what is no filter."""
        return self._matching(filters, "filters", _Allowance())

    def _matching(self, filters: object, where: str, allowance: "_Allowance") -> Mask:
        fields = _fields_of(filters, where, allowance)
        kind = fields["type"]
        if kind in ("and", "or"):
            parts = [
                self._matching(part, f"{where}.filters[{index}]", allowance.deeper(where))
                for index, part in enumerate(_parts_of(fields, where))
            ]
            return np.asarray((np.logical_and if kind == "and" else np.logical_or).reduce(parts))
        operands = _operands_of(kind, fields["value"], where, allowance)
        return self._column(fields["key"]).matching(kind, operands)

    def _column(self, key: str) -> "_Column":
        column = self._columns.get(key)
        if column is None:
            column = _Column([document.get(key) for document in self._metadata])
            if column.codes:  # Keys that don't exist would fill the memory.
                self._columns[key] = column
        return column


class _Column:
    """The values of one key. Each different one has a code: ascending numbers come first, then texts, then booleans."""

    def __init__(self, values: Sequence[Value | None]) -> None:
        different = {_typed(value) for value in values if value is not None}
        self._numbers = sorted(value for is_bool, value in different if not is_bool and not isinstance(value, str))
        self._texts = sorted(value for _, value in different if isinstance(value, str))
        booleans = sorted(value for is_bool, value in different if is_bool)
        ordered = map(_typed, (*self._numbers, *self._texts, *booleans))
        self.codes = {value: code for code, value in enumerate(ordered)}
        none = len(self.codes)
        self._codes_of_documents = np.fromiter(
            (none if value is None else self.codes[_typed(value)] for value in values), np.intp, len(values)
        )

    def matching(self, kind: str, operands: Sequence[Value]) -> Mask:
        """Return which documents have a fitting value."""
        fits = np.zeros(len(self.codes) + 1, np.bool_)
        if kind in _ORDERS:
            fits[self._range(kind, operands[0])] = True
        else:
            fits[[self.codes[value] for value in map(_typed, operands) if value in self.codes]] = True
        if kind in ("ne", "nin"):
            fits = ~fits  # The last one, of documents without a value, too.
        return np.asarray(fits[self._codes_of_documents])

    def _range(self, kind: str, operand: Any) -> slice:
        """Return the codes of values that are greater, or smaller."""
        values: list[Any] = self._texts if isinstance(operand, str) else self._numbers
        start = len(self._numbers) if values is self._texts else 0
        border = start + (bisect_right if kind in ("gt", "lte") else bisect_left)(values, operand)
        return slice(border, start + len(values)) if kind in ("gt", "gte") else slice(start, border)


class _Allowance:
    """The number of conditions that a filter may still contain."""

    def __init__(self, left: list[int] | None = None, depth: int = 1) -> None:
        self._left, self._depth = left or [MAX_COMPARISONS], depth

    def take(self, count: int, where: str) -> None:
        self._left[0] -= count
        if self._left[0] < 0:
            raise BadRequest(f"{where}: a filter may have {MAX_COMPARISONS:,} comparisons and values.", param="filters")

    def deeper(self, where: str) -> "_Allowance":
        if self._depth == MAX_DEPTH:
            raise BadRequest(f"{where}: filters may be {MAX_DEPTH} deep.", param="filters")
        return _Allowance(self._left, self._depth + 1)


def _fields_of(filters: object, where: str, allowance: _Allowance) -> Mapping[str, Any]:
    allowance.take(1, where)
    if not isinstance(filters, Mapping):
        raise _wrong(where, 'must be an object, such as {"type": "eq", "key": "region", "value": "eu"}')
    kind = filters.get("type")
    if kind not in _TYPES:
        raise _wrong(f"{where}.type", f"must be one of {', '.join(_TYPES)}")
    expected = {"type", "filters"} if kind in ("and", "or") else {"type", "key", "value"}
    if set(filters) != expected:
        raise _wrong(
            where, f"must have the fields {', '.join(sorted(expected))}; it has {', '.join(sorted(map(str, filters)))}"
        )
    if "key" in expected and not isinstance(filters["key"], str):
        raise _wrong(f"{where}.key", "must be a text")
    return filters


def _parts_of(fields: Mapping[str, Any], where: str) -> Sequence[object]:
    parts = fields["filters"]
    if not isinstance(parts, Sequence) or isinstance(parts, str) or not parts:
        raise _wrong(f"{where}.filters", "must be a list of filters, with one at least")
    return parts


def _operands_of(kind: str, value: object, where: str, allowance: _Allowance) -> list[Value]:
    """Return what values are compared with: several for `in` and `nin`."""
    if kind in ("in", "nin"):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise _wrong(f"{where}.value", "must be a list of texts, numbers and booleans")
        allowance.take(len(value), where)
        return [_checked(each, f"{where}.value[{index}]") for index, each in enumerate(value)]
    operand = _checked(value, f"{where}.value")
    if kind in _ORDERS and isinstance(operand, bool):
        raise _wrong(f"{where}.value", f"must be a text or a number for {kind}")
    return [operand]


def _checked(value: object, where: str) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(where, "must be a finite number")
    if not isinstance(value, str | int | float):
        raise _wrong(where, "must be a text, a number or a boolean")
    return value


def _typed(value: Value) -> tuple[bool, Value]:
    """Return the value so that True and 1 differ."""
    return isinstance(value, bool), value


def _wrong(where: str, reason: str) -> BadRequest:
    return BadRequest(f"{where} {reason}.", param="filters")
