"""Scanner: finds the matches of rules in a text that arrives in chunks.

The first match is the one that begins first; of those that begin there, the longest. The next one begins after it.

    released │ can't change any more │ could be the start of a match
             └───── searched ────────┴───────── held back ──────────
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.security.guardrails.guardrail import EndingStream, Hit, Piece, text_of
from llmos.security.guardrails.needles import NeedleSearch, union
from llmos.security.guardrails.patterns import Pattern, compile_re2

_BETWEEN = "\0"

Spans = Sequence[tuple[int, int]]

Confirm = Callable[[str], Spans]
"""Returns the parts of a candidate that the rule looks for, as (begin, end), in order; none: it is no match."""

_REJECTED_AT_ONCE = 32
"""Candidates that are rejected before the scanner yields, so that its time is checked."""


def whole(candidate: str) -> Spans:
    return [(0, len(candidate))]


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    pattern: Pattern
    confirm: Confirm = field(default=whole)
    """Depends on the candidate alone."""


class RuleSet:
    """Rules that are searched for together. Where two match equally long texts, the first counts."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.width = max(rule.pattern.width for rule in rules)
        """The characters of the longest match."""
        self.search: Any = compile_re2("|".join(f"(?:{_uncaptured(rule.pattern.full)})" for rule in rules))
        self._of_rules = [(rule, compile_re2(rule.pattern.full)) for rule in rules]
        needles = union(rule.pattern.needles for rule in rules)
        self._needles = None if needles is None else NeedleSearch(needles)
        self._needs_ends = any(rule.pattern.is_at_end for rule in rules)
        # Rules that may begin after the same characters share an expression.
        groups: dict[Any, list[Pattern]] = {}
        for rule in rules:
            groups.setdefault((rule.pattern.left, rule.pattern.is_at_start), []).append(rule.pattern)
        self._beginnings = [
            (group[0], compile_re2(rf"(?:{'|'.join(each.beginnings for each in group)})\z"))
            for group in groups.values()
        ]

    def match_none_of(self, texts: Sequence[str]) -> bool:
        """Return True if none of the texts has a match. False: one may have."""
        if self._needles is not None:
            together = _BETWEEN.join(texts)
            if together.isascii() and self._needles.finds_none(together.lower()):
                return True
        if self._needs_ends:
            return all(self.search.search(text.encode(errors="surrogatepass")) is None for text in texts)
        # No border of a pattern has this character, so what matches in a text matches in all of them together.
        return self.search.search(_BETWEEN.join(texts).encode(errors="surrogatepass")) is None

    def first_undecided(self, text: bytes, before: str) -> int:
        """Return where the first match could begin that text after `text` decides. `before`: the character before."""
        first, earliest = len(text), self._earliest(text)
        for pattern, beginnings in self._beginnings:
            at = beginnings.search(text, earliest).start()
            while at < first and not pattern.may_follow(_character_before(text, at, before)):
                at = beginnings.search(text, _next(text, at)).start()
            first = min(first, at)
        return first

    def _earliest(self, text: bytes) -> int:
        """Return where the longest match begins that could go on after the text."""
        if len(text) <= self.width:
            return 0
        return len(text) - len(text.decode(errors="surrogatepass")[-self.width :].encode(errors="surrogatepass"))

    def match(self, text: bytes, at: int, before: str) -> tuple[int, str, str, Spans] | None:
        """Return the end of the longest confirmed match at a position, its rule, its text and its parts."""
        best: tuple[int, str, str, Spans] | None = None
        for rule, expression in self._of_rules:
            if not rule.pattern.may_follow(before) or (found := expression.match(text, at)) is None:
                continue
            end = found.end(1)
            if best is None or end > best[0]:
                candidate = text[at:end].decode(errors="surrogatepass")
                if spans := rule.confirm(candidate):
                    best = end, rule.name, candidate, spans
        return best


class Scanner(EndingStream):
    """A Stream of the rules' matches."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._text = b""
        """The text that isn't released yet, in UTF-8."""
        self._searched = 0
        """The position in `_text` before which no match begins."""
        self._before = ""
        """The last character that was released."""

    def push(self, chunk: str) -> Iterator[Piece]:
        self._text += chunk.encode(errors="surrogatepass")
        return self._scan(is_complete=False)

    def finish(self) -> Iterator[Piece]:
        return self._scan(is_complete=True)

    def end(self, chunk: str) -> Iterator[Piece]:
        if not self._text and self._rules.match_none_of([chunk]):
            return iter((chunk,))
        self._text += chunk.encode(errors="surrogatepass")
        return self._scan(is_complete=True)

    def held(self) -> str:
        return self._text.decode(errors="surrogatepass")

    def _scan(self, *, is_complete: bool) -> Iterator[Piece]:
        num_rejected = 0
        end = len(self._text) if is_complete else self._first_undecided()
        while True:
            found = self._rules.search.search(self._text, self._searched)
            if found is None or found.start() >= end:
                break
            at = found.start()
            match = self._rules.match(self._text, at, _character_before(self._text, at, self._before))
            if match is None:
                self._searched = _next(self._text, at)
                num_rejected += 1
                if num_rejected % _REJECTED_AT_ONCE == 0:
                    yield ""
                continue
            _, name, candidate, spans = match
            yield self._release(at)
            for piece in _pieces(name, candidate, spans):
                self._release(len(text_of(piece).encode(errors="surrogatepass")))
                yield piece
            end = len(self._text) if is_complete else self._first_undecided()
        self._searched = max(self._searched, end)
        yield self._release(end)

    def _first_undecided(self) -> int:
        return self._rules.first_undecided(self._text, self._before)

    def _release(self, length: int) -> str:
        released = self._text[:length].decode(errors="surrogatepass")
        self._text, self._searched = self._text[length:], max(0, self._searched - length)
        if released:
            self._before = released[-1]
        return released


def _pieces(name: str, candidate: str, spans: Spans) -> Iterator[Piece]:
    """Yield a match as hits, with the text between them."""
    done = 0
    for begin, end in spans:
        if begin > done:
            yield candidate[done:begin]
        yield Hit(name, candidate[begin:end])
        done = end
    if done < len(candidate):
        yield candidate[done:]


def _next(text: bytes, at: int) -> int:
    """Return where the next character begins."""
    at += 1
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at


def _character_before(text: bytes, at: int, before: str) -> str:
    if at == 0:
        return before
    begin = at - 1
    while begin > 0 and text[begin] & 0xC0 == 0x80:
        begin -= 1
    return text[begin:at].decode(errors="surrogatepass")


def _uncaptured(expression: str) -> str:
    """Return the expression without its group, which costs time."""
    return re.sub(r"^\((?!\?)", "(?:", expression)
