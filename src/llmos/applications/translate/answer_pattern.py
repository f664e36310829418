"""The regular expression that a model's answer is held to: each unit once, and nothing of the kind beside them.

Its syntax is that of Rust's regex, which the server enforces token by token.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import factorial, prod

from llmos.applications.translate.units import Unit

FORBIDDEN = r"\p{Nd}\p{Cc}\p{Sc}\p{Co}\u2028\u2029\uFDD0#-&*+<->@\[-`{-~°§№‰⟦⟧"
"""Characters that occur only in pieces of a text, as the inside of a character class."""

_FAMILIES = ('"“”„‟«»‹›「」『』', "()（）", ":：", ";；", "!！¡")
"""Signs that a translation has only if its source has one of the family: models like to put them around answers."""
_SPACE, _LETTER = r"[ \u00a0]", r"\p{L}"
"""The characters that separate numbers."""
_META = set("\\.+*?()|[]{}^$#&-~")
_MAX_ORDERS = 24
"""The most orders of units that the pattern allows. With more, only the order of the source is allowed."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """The free texts between units."""

    excluded: str
    max_chars: int

    def chars(self, *not_these: str) -> str:
        """Return a class of characters."""
        return f"[^{self.excluded}{''.join(each.replace(chr(92) + 'd', '') for each in not_these)}]"

    @property
    def any(self) -> str:
        return f"{self.chars()}{{0,{self.max_chars}}}"


def answer_pattern(shown: str, units: Sequence[Unit]) -> str:
    """Return the expression for the answers to a text, as a prompt shows it."""
    absent = "".join(family for family in _FAMILIES if not any(sign in shown for sign in family))
    num_free = width(shown) - sum(width(unit.forms[0]) for unit in units)
    texts = _Texts(FORBIDDEN + absent, num_free * 3 // 2 + 24)
    if not units:
        return f"{texts.chars(chr(92) + 's')}{texts.any}"
    ordered = [unit for unit in units if unit.is_ordered]
    free = [unit for unit in units if not unit.is_ordered]
    if _num_orders(ordered, free) > _MAX_ORDERS:
        ordered, free = [*units], []
    return _orders(texts, None, ordered, free)


def width(text: str) -> int:
    """Return the size of a text in Latin letters: a sign of Chinese, Japanese or Korean counts as four."""
    return sum(4 if sign >= "\u2e80" else 1 for sign in text)


def _num_orders(ordered: Sequence[Unit], free: Sequence[Unit]) -> int:
    same = Counter(tuple(unit.forms) for unit in free)
    return factorial(len(ordered) + len(free)) // factorial(len(ordered)) // prod(map(factorial, same.values()))


def _orders(texts: _Texts, last: Unit | None, ordered: Sequence[Unit], free: Sequence[Unit]) -> str:
    """Return what may follow a unit, as a tree: the rest in any order that keeps the ordered ones in theirs."""
    if not ordered and not free:
        return _end(texts, last)
    branches = []
    if ordered:
        branches.append((ordered[0], ordered[1:], free))
    for index, unit in enumerate(free):
        if all(unit.forms != other.forms for other in free[:index]):
            branches.append((unit, ordered, [*free[:index], *free[index + 1 :]]))
    parts = [_gap(texts, last, unit) + _either(unit.forms) + _orders(texts, unit, *rest) for unit, *rest in branches]
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def _gap(texts: _Texts, last: Unit | None, unit: Unit) -> str:
    """Return the free text between two units, such that neither becomes part of something else."""
    behind, before = (last.not_behind if last is not None else ""), unit.not_before
    if last is not None and last.ends_with_digit and unit.begins_with_digit:
        return f"(?:{texts.chars(behind)}{texts.any})?{_SPACE}"
    if last is not None and last.ends_with_digit and unit.is_number:  # Its currency would belong to both.
        return f"(?:{texts.chars(behind)}{texts.any})?{_SPACE}{_LETTER}{texts.any}{_SPACE}"
    may_touch = last is None or _may_touch(last, unit)
    if not behind and not before:
        return texts.any if may_touch else f"{texts.chars()}{texts.any}"
    gap = f"{texts.chars(behind, before)}|{texts.chars(behind)}{texts.any}{texts.chars(before)}"
    return f"(?:{gap})?" if may_touch else f"(?:{gap})"


def _end(texts: _Texts, last: Unit | None) -> str:
    assert last is not None, "an answer without units has a pattern of its own"
    return f"(?:{texts.chars(last.not_behind)}{texts.any})?" if last.not_behind else texts.any


def _may_touch(last: Unit, unit: Unit) -> bool:
    """Return whether two units may stand side by side. Some would read as another one, such as * and **."""
    ends, beginnings = {form[-1] for form in last.forms}, {form[0] for form in unit.forms}
    if ends & beginnings:
        return False
    return not _has(unit.not_before, ends) and not _has(last.not_behind, beginnings)


def _has(not_these: str, signs: Collection[str]) -> bool:
    return bool(not_these) and any(re.match(f"[{not_these}]", sign) for sign in signs)


def _either(forms: Sequence[str]) -> str:
    literals = ["".join(f"\\{sign}" if sign in _META else sign for sign in form) for form in forms]
    return literals[0] if len(literals) == 1 else f"(?:{'|'.join(literals)})"
