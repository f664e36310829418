"""Pieces: the parts of a text that a translation keeps as they are, such as placeholders, tags, addresses and numbers.

It knows no language and no model. What it finds in a source, a translation must have, and nothing else of the kind.
"""

import re
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from llmos.applications.translate.messages import messages_in
from llmos.applications.translate.piece_patterns import COMPILED_CODE, COMPILED_MARKUP, COMPILED_OTHERS, MASK, Kind

_END_OF_ADDRESS = ".,;:!?'’*_~"

Span = tuple[int, int]


@dataclass(frozen=True, order=True, slots=True)
class Piece:
    """A part of a text that is kept."""

    start: int
    end: int
    kind: Kind
    text: str
    branches: Sequence[Span] = ()
    """The spans of the branches of a message, in the text."""
    forms: Sequence[str] = ()
    """The allowed forms of a term in the translation."""

    @property
    def is_ordered(self) -> bool:
        """Return whether it must keep the order of the source, such as an opening and a closing tag."""
        return self.kind in ("tag", "entity", "symbol")


class Terms(Protocol):
    """The terms of a glossary."""

    def claim(self, claims: "Claims") -> None:
        """Make the terms in what is left of a text pieces."""


class Claims:
    """The pieces that were found so far, and the text that is left."""

    def __init__(self, text: str) -> None:
        self._text, self._left = text, text
        self.found: list[Piece] = []

    @property
    def left(self) -> str:
        """The text, with a mask in the place of each character of a piece."""
        return self._left

    def take(self, spans: Iterable[Span], kind: Kind, **more: Sequence[str]) -> None:
        """Claim the spans for pieces."""
        parts, position = [], 0
        for start, end in spans:
            insort(self.found, Piece(start, end, kind, self._text[start:end], **more))  # type: ignore[arg-type]
            parts += [self._left[position:start], MASK * (end - start)]
            position = end
        self._left = "".join([*parts, self._left[position:]])

    def take_all(self, patterns: Iterable[tuple[Kind, re.Pattern[str]]]) -> None:
        for kind, pattern in patterns:
            self.take([*_spans(kind, pattern, self._left)], kind)

    def take_messages(self) -> None:
        for message in [*messages_in(self._left)]:
            text = self._text[message.start : message.end]
            branches = [(start - message.start, end - message.start) for start, end in message.branches]
            insort(self.found, Piece(message.start, message.end, "message", text, branches))
            masks = MASK * len(text)
            self._left = self._left[: message.start] + masks + self._left[message.end :]


def find_pieces(text: str, terms: Terms | None = None) -> list[Piece]:
    """Return the pieces of a text, and the terms in it, in order; none overlaps another."""
    claims = Claims(text)
    claims.take_all(COMPILED_CODE)
    claims.take_messages()
    claims.take_all(COMPILED_MARKUP)
    if terms is not None:
        terms.claim(claims)
    claims.take_all(COMPILED_OTHERS)
    return claims.found


def _spans(kind: Kind, pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    for match in pattern.finditer(text):
        start, end = match.span()
        if kind == "address":
            end = start + len(_trimmed(match[0]))
        if end > start:
            yield start, end


def _trimmed(address: str) -> str:
    """Return an address without the punctuation of the sentence around it."""
    while address:
        last = address[-1]
        opening = {")": "(", "]": "[", "}": "{"}.get(last)
        if last not in _END_OF_ADDRESS and not (opening and address.count(last) > address.count(opening)):
            break
        address = address[:-1]
    return address
