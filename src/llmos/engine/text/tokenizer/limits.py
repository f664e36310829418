"""Limits on the time and the text of one rendering of a chat template, and the checks that enforce them.

A thread can't be interrupted from outside, and a single call into C ("a" * 10**9, or printing a list that contains the
same list many times over) checks no limit itself. So arguments are measured before a call, as if written out in full;
results are charged to the budget after it; and operations whose result would be much larger than their arguments are
rejected.
"""

import re
import time
from collections.abc import ItemsView, Iterable, KeysView, ValuesView
from contextvars import ContextVar, Token
from typing import Any

from llmos.core.errors import BadRequest

MAX_ITEMS = 1 << 18
"""Most items in a list, counted at every level of nesting."""
MAX_WIDTH = 1000
"""Most characters of padding, indentation or digits that a number may ask for."""
MAX_BITS = 4096
"""Most bits of an integer."""

_current: ContextVar["Budget | None"] = ContextVar("budget", default=None)


class Budget:
    """The budget of one rendering, active inside a with-block. Exceeding it raises BadRequest."""

    def __init__(self, *, seconds: float, max_length: int) -> None:
        self._seconds = seconds
        self.max_length = max_length
        """Most characters of one string."""
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
        """Count one operation, and check the time now and then."""
        self._ticks += 1
        if self._ticks % 32 == 0:
            self.check_time()

    def check_time(self) -> None:
        if time.thread_time() > self._deadline:
            raise BadRequest(
                f"The model's chat template took longer than {self._seconds:g} seconds."
                " Send fewer or shorter messages.",
                param="messages",
            )

    def charge(self, length: int) -> None:
        """Charge for a new string or list of this length."""
        self._length_left -= length
        if length > self.max_length or self._length_left < 0:
            raise output_too_large()


def tick() -> None:
    """Count one operation of the current budget."""
    budget = _current.get()
    if budget is not None:
        budget.tick()


def charge(value: Any) -> None:
    """Charge the current budget for a new value."""
    budget = _current.get()
    if budget is not None and isinstance(value, str | list | tuple | dict):
        budget.charge(len(value))


def check_size(value: Any) -> Any:
    """Return the value. Raises BadRequest if it would be too large written out in full.

    A list can contain the same list twice, which contains another twice, and so on: comparing, hashing or printing it
    takes time out of proportion to its memory.
    """
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
            raise output_too_large()
    if budget is not None and num_items > 32:
        budget.check_time()
    return value


def check_replace(text: str, old: Any = "", new: Any = "", *_: Any) -> None:
    """Check the size of text.replace(old, new)."""
    if isinstance(old, str) and isinstance(new, str):
        check_length(len(text) + text.count(old) * len(new))


def check_product(left: Any, right: Any) -> None:
    """Check the size of left * right."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, int):
            if isinstance(other, str):
                check_length(len(other) * max(one, 0))
            elif (isinstance(other, list | tuple) and len(other) * one > MAX_ITEMS) or (
                isinstance(other, int) and one.bit_length() + other.bit_length() > MAX_BITS
            ):
                raise output_too_large()


def check_power(base: Any, exponent: Any) -> None:
    """Check the size of base ** exponent."""
    if isinstance(base, int) and isinstance(exponent, int) and max(base.bit_length(), 1) * abs(exponent) > MAX_BITS:
        raise output_too_large()


_WIDE_FIELD = {"%": re.compile(r"%[^%a-zA-Z]*(?:\*|\d{4})"), "{": re.compile(r":[^{}]*(?:\{|\d{4})")}


def check_format(text: str, opening: str, values: Iterable[Any]) -> None:
    """Check the size of `values` formatted by `text`. `opening`: "%" or "{", the character that opens a field."""
    if _WIDE_FIELD[opening].search(text):
        raise output_too_large()
    check_length(len(text) + text.count(opening) * sum(len(str(check_size(value))) for value in values))


def check_width(value: Any) -> None:
    """Check a number that sets a width, an indentation or a count of digits."""
    if isinstance(value, int) and abs(value) > MAX_WIDTH:
        raise output_too_large()


def check_length(length: int) -> None:
    """Check the length of a string before it is made."""
    budget = _current.get()
    if length > (budget.max_length if budget is not None else MAX_ITEMS):
        raise output_too_large()


def output_too_large() -> BadRequest:
    """Return the error for exceeding a limit on size."""
    return BadRequest("The model's chat template produces too much text for these messages.", param="messages")


def concat(pieces: Iterable[str]) -> str:
    """Join the pieces that a template outputs."""
    budget, parts, length = _current.get(), [], 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if budget is not None and length > budget.max_length:
            raise output_too_large()
    if budget is not None:
        budget.charge(length)
    return "".join(parts)
