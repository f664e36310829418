"""Needles: strings of which every match of a pattern has one, so that most texts need no search.

    (?:AKIA|ASIA)[A-Z2-7]{16}   →   akia, asia
    [0-9]{4}-[0-9]{4}           →   -

A search in RE2 gives the interpreter's lock away; looking for needles doesn't. They count for ASCII texts alone, where
upper and lower case are the same for Python and RE2.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from importlib import import_module
from typing import Any

_ops: Any = import_module("re._constants")

Needles = frozenset[str]
"""Lower case. Of a pattern that no ASCII text matches, none."""

_MAX_OF_CLASS = 12
"""A class with more characters says too little."""

_MAX_NEEDLES = 256
"""A set with more takes as long as a search."""

_LETTERS = 0.05
_OTHERS = {"_": 1e-4, "-": 1e-2, " ": 0.2, ".": 0.1, ",": 0.1, ":": 0.03, "\n": 0.03}
_RARE = 2e-3
"""The approximate frequencies of characters in prose."""


def needles_of(items: Sequence[Any]) -> Needles | None:
    """Return the needles of a sequence that Python's parser has read; None where there are none to look for."""
    found: list[Needles] = []
    run = ""
    for op, value in items:
        if op is _ops.LITERAL:
            run += chr(value)
            continue
        found += [_run(run)] if run else []
        run = ""
        if (of_item := _needles_of_item(op, value)) is not None:
            found.append(of_item)
    found += [_run(run)] if run else []
    return min(found, key=_cost, default=None)


def _run(run: str) -> Needles:
    return frozenset((run.lower(),)) if run.isascii() else frozenset()


def _needles_of_item(op: Any, value: Any) -> Needles | None:
    if op is _ops.IN:
        return _needles_of_class(value)
    if op is _ops.SUBPATTERN:
        return needles_of(value[3])
    if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT):
        return needles_of(value[2]) if value[0] > 0 else None
    if op is _ops.BRANCH:
        branches = [needles_of(branch) for branch in value[1]]
        return union(branches)
    return None


def _needles_of_class(items: Sequence[Any]) -> Needles | None:
    characters: set[str] = set()
    for op, value in items:
        if op is _ops.LITERAL:
            characters.add(chr(value))
        elif op is _ops.RANGE and value[1] - value[0] < _MAX_OF_CLASS:
            characters.update(map(chr, range(value[0], value[1] + 1)))
        elif op is _ops.CATEGORY and value is _ops.CATEGORY_DIGIT:
            characters.update("0123456789")
        else:
            return None
    lower = frozenset(each.lower() for each in characters if each.isascii())
    return lower if len(lower) <= _MAX_OF_CLASS else None


def union(sets: Iterable[Needles | None]) -> Needles | None:
    """Return the needles of patterns of which one has to match; None if one of them has none to look for."""
    united: set[str] = set()
    for each in sets:
        if each is None:
            return None
        united |= each
    if len(united) > _MAX_NEEDLES:
        return None
    # A text that contains a needle also contains the shorter needles within it.
    return frozenset(each for each in united if not any(other != each and other in each for other in united))


def _cost(needles: Needles) -> float:
    """Return roughly how often the needles are found where nothing matches."""
    total = 0.0
    for needle in needles:
        frequency = 1.0
        for character in needle:
            frequency *= _LETTERS if character.isalpha() else _OTHERS.get(character, _RARE)
        total += frequency
    return total


class NeedleSearch:
    """Looks for any of several needles in a text."""

    def __init__(self, needles: Collection[str]) -> None:
        """`needles`: in lower case."""
        singles = sorted(each for each in needles if len(each) == 1)
        self._longer = tuple(sorted(each for each in needles if len(each) > 1))
        self._single = re.compile(f"[{re.escape(''.join(singles))}]").search if singles else None

    def finds_none(self, text: str) -> bool:
        """Return True if the text, in lower case, has none of the needles."""
        if self._single is not None and self._single(text) is not None:
            return False
        for needle in self._longer:  # noqa: SIM110 (a generator takes twice as long)
            if needle in text:
                return False
        return True
