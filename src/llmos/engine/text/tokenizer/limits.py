"""What one rendering of a chat template may spend, and the questions that are asked before it spends it.

A thread cannot be interrupted from outside, and one call into C ("a" * 10**9, the text of a list that holds itself a
million times) asks nobody. So what goes in is weighed before, as if written out in full; what comes out is charged
after; and what would grow out of proportion is refused.
"""

import re
import time
from collections.abc import ItemsView, Iterable, KeysView, ValuesView
from contextvars import ContextVar, Token
from typing import Any

from llmos.core.errors import BadRequest

MAX_ITEMS = 1 << 18
"""Things in a list, counted through every level."""
MAX_WIDTH = 1000
"""Padding, indentation, digits: whatever a number asks to be written."""
MAX_BITS = 4096
"""Of a whole number."""

_current: ContextVar["Budget | None"] = ContextVar("budget", default=None)


class Budget:
    """What one rendering may spend, inside a with-block. Running out raises BadRequest."""

    def __init__(self, *, seconds: float, max_length: int) -> None:
        self._seconds = seconds
        self.max_length = max_length
        """Characters that one piece of text may have."""
        self._length_left = 32 * max_length
        self._ticks = 0
        self._token: Token[Budget | None] | None = None

    def __enter__(self) -> "Budget":
        self._deadline = time.thread_time() + self._seconds
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _current.reset(self._token)

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % 32 == 0:
            self.check_time()

    def check_time(self) -> None:
        if time.thread_time() > self._deadline:
            raise BadRequest(f"The model's chat template took longer than {self._seconds:g} seconds.", param="messages")

    def charge(self, length: int) -> None:
        """Pay for text of this length, which is a copy of its parts."""
        self._length_left -= length
        if length > self.max_length or self._length_left < 0:
            raise too_much()


def tick() -> None:
    budget = _current.get()
    if budget is not None:
        budget.tick()


def charge(value: Any) -> None:
    budget = _current.get()
    if budget is not None and isinstance(value, str | list | tuple | dict):
        budget.charge(len(value))


def weigh(value: Any) -> Any:
    """Return the value, if it would be of bearable size written out in full. A list can hold the same list twice, that
    one another twice, and so on: comparing, hashing or printing it takes time that its looks don't tell."""
    if value is None or isinstance(value, int | float):
        return value
    budget = _current.get()
    max_length = budget.max_length if budget is not None else MAX_ITEMS
    num_items, length, rest = 0, 0, [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            length += len(item)
        elif isinstance(item, dict):
            rest.extend(item.keys())
            rest.extend(item.values())
        elif isinstance(item, list | tuple | KeysView | ValuesView | ItemsView):
            rest.extend(item)
        num_items += 1
        if length > max_length or num_items + len(rest) > max(MAX_ITEMS, max_length):
            raise too_much()
    if budget is not None and num_items > 32:
        budget.check_time()
    return value


def check_replace(text: str, old: Any = "", new: Any = "", *_: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        check_length(len(text) + text.count(old) * len(new))


def check_product(left: Any, right: Any) -> None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, int):
            if isinstance(other, str):
                check_length(len(other) * max(one, 0))
            elif (isinstance(other, list | tuple) and len(other) * one > MAX_ITEMS) or (
                isinstance(other, int) and one.bit_length() + other.bit_length() > MAX_BITS
            ):
                raise too_much()


def check_power(base: Any, exponent: Any) -> None:
    if isinstance(base, int) and isinstance(exponent, int) and max(base.bit_length(), 1) * abs(exponent) > MAX_BITS:
        raise too_much()


_WIDE = {"%": re.compile(r"%[^%a-zA-Z]*(?:\*|\d{4})"), "{": re.compile(r":[^{}]*(?:\{|\d{4})")}


def check_format(text: str, opening: str, values: Iterable[Any]) -> None:
    if _WIDE[opening].search(text):
        raise too_much()
    check_length(len(text) + text.count(opening) * sum(len(str(weigh(value))) for value in values))


def check_width(value: Any) -> None:
    if isinstance(value, int) and abs(value) > MAX_WIDTH:
        raise too_much()


def check_length(length: int) -> None:
    budget = _current.get()
    if length > (budget.max_length if budget is not None else MAX_ITEMS):
        raise too_much()


def too_much() -> BadRequest:
    return BadRequest("The model's chat template makes more text than the messages can need.", param="messages")


def concat(pieces: Iterable[str]) -> str:
    budget, parts, length = _current.get(), [], 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if budget is not None and length > budget.max_length:
            raise too_much()
    if budget is not None:
        budget.charge(length)
    return "".join(parts)
