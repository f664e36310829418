"""Cutting: a text as lines, their sentences, and the kept parts between them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llmos.applications.translate.piece_patterns import MASK
from llmos.applications.translate.pieces import Piece, Terms, find_pieces
from llmos.applications.translate.segments import Document, Segment
from llmos.applications.translate.units import units_of
from llmos.core.errors import BadRequest
from llmos.core.sentences import Span, sentences_in

_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029\t]")
_LINE_START = re.compile(r"(?:\s+|(?:#{1,6}|>+|[-*+•]|\d{1,9}[.)]|\[[ xX]\])(?=\s))*")
"""The marks at the beginning of list items, headings and quotes."""
_NOTHING = re.compile("")
_CLAUSE_END = re.compile(r"[,;:，；：、]\s*|\s+")
_LETTER = re.compile(r"[^\W\d_]")
_VOID_TAG = re.compile(r"<(?:br|hr|img|input|wbr|meta|link|source|col|area|base|embed|track)\b|.*/>$", re.IGNORECASE)
_TAG_NAME = re.compile(r"<(/?)([\w:.-]+)")
_MAX_SENTENCE = 1200
"""A longer sentence is cut between clauses or words."""


def cut(text: str, terms: Terms | None = None) -> Document:
    """Return a text as kept parts and segments. Raises BadRequest for what is no text."""
    if MASK in text:
        raise BadRequest(f"The text has U+{ord(MASK):04X}, which is no character. Remove it.")
    return _Cutter(text, terms).document()


class _Cutter:
    """Cuts one text."""

    def __init__(self, text: str, terms: Terms | None, *, is_branch: bool = False) -> None:
        self._text, self._terms = text, terms
        self._line_start = _NOTHING if is_branch else _LINE_START
        self._pieces = find_pieces(text, terms)
        blocks = [piece for piece in self._pieces if piece.kind == "code" and "\n" in piece.text]
        masked = list(text)
        for piece in self._pieces:
            masked[piece.start : piece.end] = ("\n" if piece in blocks else "X") * (piece.end - piece.start)
        self._masked = "".join(masked)
        """The text with letters in the places of pieces, and line breaks in those of blocks, which are kept whole."""

    def document(self) -> Document:
        parts: list[str | Segment] = []
        position = 0
        for start, end in self._spans():
            segment = self._segment(start, end)
            parts += [self._text[position:start], *(segment if isinstance(segment, list) else [segment])]
            position = end
        return Document([part for part in [*parts, self._text[position:]] if part != ""])

    def _spans(self) -> Iterator[Span]:
        """Yield what is translated, without what is kept around it."""
        pieces = iter(self._pieces)
        pending = next(pieces, None)
        for span in self._sentences():
            inside = []
            while pending is not None and pending.start < span[1]:
                if pending.start >= span[0]:
                    inside.append(pending)
                pending = next(pieces, None)
            start, end = self._within_marks(span, inside)
            if _LETTER.search(self._text, start, end):
                yield start, end

    def _sentences(self) -> Iterator[Span]:
        for line in self._lines():
            start = self._line_start.match(self._text, line[0], line[1]).end()  # type: ignore[union-attr]
            line_end = line[1]
            position = start
            for begin, end in sentences_in(self._masked[start:line_end]):
                begin, end = max(start + begin, position), start + end
                end = max([end, *(piece.end for piece in self._crossing(end))])
                if begin < end:
                    yield from self._short(begin, end)
                    position = end

    def _lines(self) -> Iterator[Span]:
        start = 0
        for match in [*_BREAK.finditer(self._masked), None]:
            end = len(self._masked) if match is None else match.start()
            yield from self._cells(start, end)
            start = end if match is None else match.end()

    def _cells(self, start: int, end: int) -> Iterator[Span]:
        """Yield a line, or the cells of a row of a table."""
        if not self._text[start:end].lstrip().startswith("|"):
            yield start, end
            return
        bars = [piece.start for piece in self._pieces if start <= piece.start < end and set(piece.text) == {"|"}]
        for first, last in zip(bars, [*bars[1:], end], strict=True):
            yield first + 1, last

    def _crossing(self, position: int) -> list[Piece]:
        return [piece for piece in self._pieces if piece.start < position < piece.end]

    def _short(self, start: int, end: int) -> Iterator[Span]:
        """Yield a sentence, in parts if it is very long."""
        while end - start > _MAX_SENTENCE:
            ends = [match.end() for match in _CLAUSE_END.finditer(self._masked, start + 1, start + _MAX_SENTENCE)]
            if not ends:
                break
            yield start, ends[-1]
            start = ends[-1]
        yield start, end

    def _within_marks(self, span: Span, pieces: list[Piece]) -> Span:
        """Return a span without the spaces around it, and without tags and signs that enclose or precede it."""
        while True:
            start, end = self._stripped(*span)
            first = pieces[0] if pieces and pieces[0].start == start else None
            last = pieces[-1] if pieces and pieces[-1].end == end else None
            if first is not None and last is not None and _encloses(first, last, pieces):
                pieces, span = pieces[1:-1], (first.end, last.start)
            elif first is not None and _stands_alone(first, pieces):
                pieces, span = pieces[1:], (first.end, end)
            elif last is not None and _stands_alone(last, pieces):
                pieces, span = pieces[:-1], (start, last.start)
            else:
                return start, end

    def _stripped(self, start: int, end: int) -> Span:
        part = self._text[start:end]
        begin = start + len(part) - len(part.lstrip())
        return begin, max(begin, start + len(part.rstrip()))

    def _segment(self, start: int, end: int) -> "Segment | list[str | Segment]":
        """Return the segment at a place; where no words are left beside its pieces, what becomes of it."""
        inside = [
            replace(piece, start=piece.start - start, end=piece.end - start)
            for piece in self._pieces
            if start <= piece.start and piece.end <= end
        ]
        text = self._text[start:end]
        units = units_of(inside, text)
        contents = {
            unit.number: Document([*self._parts_of(unit.pieces)])
            for unit in units
            if any(piece.kind == "message" for piece in unit.pieces)
        }
        segment = Segment(text, units, contents)
        between = [
            text[one:other]
            for one, other in zip([0, *(u.end for u in units)], [*(u.start for u in units), None], strict=True)
        ]
        if any(_LETTER.search(part) for part in between):
            return segment
        parts: list[str | Segment] = []
        for unit, part in zip(units, between, strict=False):
            parts.append(part)
            parts += (
                contents[unit.number].parts
                if unit.number in contents
                else [unit.forms[0] if unit.is_term else unit.text]
            )
        return [*parts, between[-1]]

    def _parts_of(self, pieces: Sequence[Piece]) -> Iterator[str | Segment]:
        """Yield what becomes of pieces with messages among them: the branches are translated."""
        for piece in pieces:
            position = 0
            for start, end in piece.branches:
                yield piece.text[position:start]
                branch = _Cutter(piece.text[start:end], self._terms, is_branch=True)
                yield from branch.document().parts
                position = end
            yield piece.text[position:]


def _encloses(first: Piece, last: Piece, pieces: Sequence[Piece]) -> bool:
    """Return whether two pieces are one pair around all of a text."""
    if first is last or len([piece for piece in pieces if piece.kind in ("tag", "symbol")]) < 2:
        return False
    if first.kind == "tag" and last.kind == "tag":
        opened, closed = _TAG_NAME.match(first.text), _TAG_NAME.match(last.text)
        if not opened or not closed or opened[1] or not closed[1] or opened[2] != closed[2]:
            return False
        named = [match for piece in pieces if (match := _TAG_NAME.match(piece.text)) and match[2] == opened[2]]
        return len(named) == 2
    same = [piece for piece in pieces if piece.text == first.text]
    return first.kind == "symbol" and first.text == last.text and len(same) == 2 and set(first.text) <= set("*_~")


def _stands_alone(piece: Piece, pieces: Sequence[Piece]) -> bool:
    """Return whether a tag at the edge has no counterpart in the text, so that it can stay where it is."""
    if piece.kind != "tag" or (match := _TAG_NAME.match(piece.text)) is None:
        return False
    if _VOID_TAG.match(piece.text):
        return True
    names = [found for each in pieces if (found := _TAG_NAME.match(each.text)) and found[2] == match[2]]
    return len({found[1] for found in names}) == 1
