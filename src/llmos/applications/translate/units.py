"""Units: what stands for pieces in a prompt and in an answer, and what may stand beside it there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from llmos.applications.translate.piece_patterns import LETTERS
from llmos.applications.translate.pieces import Piece

_MAX_SHOWN = 60
_UNSHOWABLE = re.compile(r"[⟦⟧\x00-\x1f\x7f\x85\u2028\u2029]")
_SIGNS = "-−+±.,:/'’"
"""Directly before a number they would change it."""
_WORD = rf"{LETTERS}\d_"


@dataclass(frozen=True)
class Unit:
    """One piece, or several side by side, which stay side by side."""

    pieces: Sequence[Piece]
    before: str
    """The character before the unit in the source; empty at the beginning."""
    behind: str
    number: int
    """The number of the unit in its segment, from 1."""

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def end(self) -> int:
        return self.pieces[-1].end

    @cached_property
    def text(self) -> str:
        """The text of the source."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def is_term(self) -> bool:
        return bool(self.pieces[0].forms)

    @property
    def is_mark(self) -> bool:
        """Return whether a mark stands for it: what is long, has several lines or branches is no part of a prompt."""
        is_message = any(piece.kind == "message" for piece in self.pieces)
        return is_message or len(self.text) > _MAX_SHOWN or _UNSHOWABLE.search(self.text) is not None

    @cached_property
    def forms(self) -> Sequence[str]:
        """The texts that may stand for it in an answer."""
        return self.pieces[0].forms or (f"⟦{self.number}⟧" if self.is_mark else self.text,)

    @property
    def is_ordered(self) -> bool:
        return any(piece.is_ordered for piece in self.pieces)

    @cached_property
    def not_before(self) -> str:
        """The characters that can't stand before it, as the inside of a character class."""
        return _unless_there(self._excluded_before, self.before)

    @cached_property
    def not_behind(self) -> str:
        """The characters that can't stand behind it, as the inside of a character class."""
        return _unless_there(self._excluded_behind, self.behind)

    @property
    def _excluded_before(self) -> str:
        kind, first = self.pieces[0].kind, self.forms[0][0]
        if self.is_mark:
            return ""
        if first.isdigit():
            is_signed = self.before != "" and self.before in _SIGNS
            return _WORD if is_signed else rf"{_WORD}\-−+±.,:/'’"
        if kind == "number" and first in _SIGNS:
            return rf"{_WORD}).,'’"
        if kind == "address":
            return rf"{_WORD}.+/@\-"
        return _WORD if kind in ("term", "identifier") and re.match(f"[{LETTERS}]", first) else ""

    @property
    def _excluded_behind(self) -> str:
        kind, last = self.pieces[-1].kind, self.forms[0][-1]
        if self.is_mark:
            return ""
        if kind == "address":
            return rf"{_WORD}/@(\-"
        if kind in ("identifier", "placeholder", "number") and not last.isdigit() and re.match(f"[{_WORD}]", last):
            return _WORD
        if kind in ("identifier", "placeholder"):
            return _WORD if last.isdigit() else ""
        return r"\d" if last.isdigit() else ""

    @property
    def begins_with_digit(self) -> bool:
        return self.forms[0][0].isdigit()

    @property
    def is_number(self) -> bool:
        return self.pieces[0].kind == "number"

    @property
    def ends_with_digit(self) -> bool:
        return self.forms[0][-1].isdigit()


def _unless_there(excluded: str, neighbour: str) -> str:
    """Return the excluded characters, or only digits where the source has one of them itself."""
    is_there = bool(excluded and neighbour) and re.match(f"[{excluded}]", neighbour) is not None
    return r"\d" if is_there else excluded


def units_of(pieces: Sequence[Piece], text: str) -> list[Unit]:
    """Return the units of the pieces of a text."""
    groups: list[list[Piece]] = []
    for piece in pieces:
        last = groups[-1][-1] if groups else None
        if last is not None and last.end == piece.start and not last.forms and not piece.forms:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [
        Unit(group, text[group[0].start - 1 : group[0].start], text[group[-1].end : group[-1].end + 1], number)
        for number, group in enumerate(groups, 1)
    ]


@dataclass(frozen=True)
class Found:
    """The units in an answer."""

    forms: Sequence[str]
    rest: str
    """The answer with a mask in the place of each."""


@dataclass(frozen=True)
class UnitSet:
    """The units of a segment, as an answer is searched for them."""

    units: Sequence[Unit]
    mask: str
    _pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        tokens = {(form, unit.not_before, unit.not_behind) for unit in self.units for form in unit.forms}
        ordered = sorted(tokens, key=lambda token: (-len(token[0]), token))
        object.__setattr__(self, "_pattern", re.compile("|".join(_guarded(*each) for each in ordered) or r"(?!)"))

    def find(self, answer: str) -> Found:
        forms = self._pattern.findall(answer)
        return Found(forms, self._pattern.sub(self.mask, answer))


def _guarded(form: str, not_before: str, not_behind: str) -> str:
    before = f"(?<![{not_before}])" if not_before else ""
    behind = f"(?![{not_behind}])" if not_behind else ""
    more = r"(?<!\d[.,])" if form[0].isdigit() else ""
    return before + more + re.escape(form) + behind
