"""Drafts: a text as it is made, and whether it is what its brief asks for. It asks no model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmos.applications.figures import MARK, mark, unverified
from llmos.applications.write.briefs import Brief
from llmos.applications.write.facts import as_sentence, has_fact, missing_facts
from llmos.core.sentences import sentences_in

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_TOO_LONG = 1.25
"""A text has at most this share of its words, and at least the share below."""
_TOO_SHORT = 0.75
_HEADING = re.compile(r"^[^\S\n]*(?:#+.*|\*\*[^*\n]+\*\*:?)[^\S\n]*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a text under its heading."""

    heading: str
    points: Sequence[str] = ()
    facts: Sequence[str] = ()
    """The facts that it must use."""
    text: str = ""

    @property
    def missing(self) -> list[str]:
        """The facts that it doesn't use."""
        return missing_facts(self.text, self.facts)


def num_words(text: str) -> int:
    return len(_WORD.findall(text.replace(MARK, "")))


def cleaned(text: str, *, is_cut: bool) -> str:
    """Return what a model wrote of a section: without headings, and without the sentence that was cut."""
    text = _HEADING.sub("", text).strip()
    spans = [*sentences_in(text)]
    if is_cut and len(spans) > 1:
        text = text[: spans[-2][1]]
    return re.sub(r"\n{3,}", "\n\n", text)


def with_facts(text: str, facts: Sequence[str]) -> str:
    """Return a text with these facts behind it, each as a sentence of its own."""
    return " ".join(part for part in (text, *(as_sentence(fact) for fact in facts)) if part)


def shortened(text: str, limit: int, facts: Sequence[str]) -> str:
    """Return a text without its last sentences, down to a number of words. Those with facts stay, and the first one."""
    spans = [*sentences_in(text)]
    for start, end in reversed(spans[1:]):
        if num_words(text) <= limit:
            break
        rest = text[:start].rstrip() + text[end:]
        if not any(has_fact(text, fact) and not has_fact(rest, fact) for fact in facts):
            text = rest.strip()
    return text


def max_words(brief: Brief) -> int:
    """Return the most words of one section."""
    return int(brief.words_per_section * _TOO_LONG)


def min_words(brief: Brief) -> int:
    """Return the fewest words of one section."""
    return int(brief.words_per_section * _TOO_SHORT)


def render(title: str, sections: Sequence[Section], known_texts: Sequence[str]) -> tuple[str, list[str]]:
    """Return the whole text, with marks, and the figures that no known text has."""
    parts = [f"# {title}", *(f"## {each.heading}\n\n{each.text}" for each in sections)]
    text = "\n\n".join(parts)
    figures = unverified(text, known_texts)
    return mark(text, figures) + "\n", [*dict.fromkeys(each.text for each in figures)]


def constraints(brief: Brief, text: str) -> Mapping[str, bool]:
    """Return what a brief asks for, and whether a text has it."""
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    marked = {each.text for each in unverified(text.replace(MARK, ""), brief.known_texts)}
    unmarked = [each for each in unverified(text, brief.known_texts) if not text.startswith(MARK, each.span[1])]
    words = num_words(body)
    return {
        "a title": text.startswith("# "),
        f"{brief.sections} sections": len(headings) == brief.sections,
        f"about {brief.words} words": _TOO_SHORT * brief.words <= words <= _TOO_LONG * brief.words,
        "each figure has a source or a mark": not unmarked,
        "no figure without a source": not marked,
        **{f"fact: {fact}": has_fact(body, fact) for fact in brief.facts},
    }
