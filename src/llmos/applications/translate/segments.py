"""Segments: what of a text is translated, each with a check of its answer; all that stands between them is kept.

A document is a list of kept texts and segments. Written with the answers in the places of the segments, it has the
line breaks, spaces, tags and placeholders of its source, wherever the answers came from.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from llmos.applications.translate.answer_pattern import answer_pattern, width
from llmos.applications.translate.piece_patterns import MASK
from llmos.applications.translate.pieces import find_pieces
from llmos.applications.translate.units import Unit, UnitSet

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_MARK = re.compile(r"⟦(\d+)⟧")


@dataclass(frozen=True, slots=True)
class Document:
    """A text as kept parts and segments."""

    parts: Sequence["str | Segment"] = ()

    def segments(self) -> Iterator["Segment"]:
        """Yield the segments in order, those in the branches of messages behind the one with the message."""
        for part in self.parts:
            if isinstance(part, Segment):
                yield part
                for content in part.contents.values():
                    yield from content.segments()

    def render(self, answers: Mapping[str, str]) -> str:
        """Return the text with the answers to the segments, by their sources. A segment without one stays as it is."""
        return "".join(part if isinstance(part, str) else part.render(answers) for part in self.parts)


@dataclass(frozen=True)
class Segment:
    """A sentence, or another part of a line, that is translated."""

    text: str
    units: Sequence[Unit] = ()
    contents: Mapping[int, Document] = field(default_factory=dict)
    """The parsed documents of units that contain messages, by the number of the unit."""

    @cached_property
    def shown(self) -> str:
        """The text of the prompt: terms are translated, and marks stand for what is long."""
        parts, position = [], 0
        for unit in self.units:
            parts += [self.text[position : unit.start], unit.forms[0]]
            position = unit.end
        return "".join([*parts, self.text[position:]])

    @cached_property
    def pattern(self) -> str:
        """The regular expression of its answers."""
        return answer_pattern(self.shown, self.units)

    def render(self, answers: Mapping[str, str]) -> str:
        answer = answers.get(self.text)
        if answer is None:
            parts, position = [], 0
            for unit in self.units:
                parts += [self.text[position : unit.start], self._written(unit, answers)]
                position = unit.end
            return "".join([*parts, self.text[position:]])
        units = {unit.number: unit for unit in self.units if unit.is_mark}
        return _MARK.sub(lambda mark: self._written(units[int(mark[1])], answers), answer)

    def _written(self, unit: Unit, answers: Mapping[str, str]) -> str:
        content = self.contents.get(unit.number)
        return unit.text if content is None else content.render(answers)

    def with_marks(self, translation: str) -> str:
        """Return a translation as an answer, with marks for what has them."""
        for unit in self.units:
            if unit.is_mark:
                translation = translation.replace(unit.text, unit.forms[0], 1)
        return translation

    def fault(self, answer: str) -> str:
        """Return what is wrong with an answer, as the end of a sentence, or nothing."""
        if not answer.strip():
            return "is empty"
        if _CONTROL.search(answer):
            return "has a line break or a control character"
        if width(answer) > 5 * width(self.shown) + 80:
            return "is far longer than its source"
        found = UnitSet(self.units, MASK).find(answer)
        faults = (self._lost(found.forms), self._disordered(found.forms), _invented(found.rest), self._misread(answer))
        return next(filter(None, faults), "")

    def _lost(self, found: Sequence[str]) -> str:
        """Return which unit the answer misses or repeats."""
        num_found = Counter(found)
        term_forms = {form for unit in self.units if unit.is_term for form in unit.forms}
        for forms, num_wanted in Counter(tuple(unit.forms) for unit in self.units).items():
            num, name = sum(num_found[form] for form in forms), _name(forms, self.units)
            if num < num_wanted:
                return f"misses {name}"
            if num > num_wanted and not term_forms.intersection(forms):
                return f"has {name} more often than its source"
        return ""

    def _disordered(self, found: Sequence[str]) -> str:
        wanted = [unit.forms[0] for unit in self.units if unit.is_ordered]
        return (
            "" if [form for form in found if form in {*wanted}] == wanted else "has its tags or signs in another order"
        )

    def _misread(self, answer: str) -> str:
        """Return which piece reads as another one between its new neighbours, such as 16 before € 10."""
        wanted, read = (Counter(piece.text for piece in find_pieces(text)) for text in (self.shown, answer))
        changed = [*(wanted - read), *(read - wanted)]
        has_forms = any(len(unit.forms) > 1 for unit in self.units)  # Each may have pieces of its own.
        return f"changes how {changed[0]!r} reads" if changed and not has_forms else ""


def _invented(rest: str) -> str:
    if MASK in rest and not re.search(r"[^\W\d_]", rest.replace(MASK, "")):
        return "has no words"
    found = find_pieces(rest)
    return f"has {found[0].text[:60]!r}, which its source doesn't have" if found else ""


def _name(forms: Sequence[str], units: Sequence[Unit]) -> str:
    unit = next(unit for unit in units if tuple(unit.forms) == tuple(forms))
    text = unit.text if len(unit.text) <= 80 else unit.text[:77] + "…"
    return repr(text) if not unit.is_term else f"{' or '.join(map(repr, forms))} for the term {text!r}"
