"""Aspects: what a summary is about, in words for a model, and in words that sentences about it have."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]{4,}")

_ASKING = frozenset(
    ("what", "which", "when", "where", "does", "that", "this", "with", "about", "many", "much", "have", "were", "there")
)
"""Words of questions that don't belong to their subject."""
_GAIN = 0.5
"""The bonus of a sentence for each word of a known aspect, up to two words. Chosen on the papers of aclsum for
training, like the figures of extracting.py; docs/applications.md has the measurement on others."""
_OWN_GAIN = 2.0
"""The bonus for each word of an aspect that a caller describes, which is higher because the caller chose the words."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """One side of a document."""

    name: str
    question: str
    """The question about the document that a model is asked."""
    words: frozenset[str] = frozenset()
    """English words of sentences about it, folded."""
    beginnings: tuple[str, ...] = ()
    """Beginnings of words of sentences about it, in any language, for an aspect that a caller describes."""

    def gain(self, terms: frozenset[str], rarity: Mapping[str, float]) -> float:
        """Return what the words of a sentence gain. `rarity`: of each word of the document, from 0 to 1."""
        own = [rarity[each] for each in terms if each.startswith(self.beginnings)] if self.beginnings else []
        return _GAIN * min(2, len(terms & self.words)) + _OWN_GAIN * min(2.0, sum(own))


def _aspect(name: str, question: str, words: str) -> Aspect:
    return Aspect(name, question, frozenset(words.split()))


WHOLE = Aspect("", "Summarize the text above")

KNOWN = {
    each.name: each
    for each in (
        _aspect(
            "challenge",
            "Which problem or limitation of existing work does the text address?",
            "however although problem problems difficult difficulty challenge challenging challenges limited limitation"
            " limitations lack lacks fail fails suffer require issue issues expensive unlike",
        ),
        _aspect(
            "approach",
            "What do the authors propose, and how does it work?",
            "we propose proposes present presents introduce introduces develop method approach model framework novel"
            " based using",
        ),
        _aspect(
            "outcome",
            "What are the results and findings?",
            "results result show shows showed demonstrate outperform outperforms improve improves improvement achieve"
            " achieves significantly better found find experiments experimental evaluation",
        ),
    )
}


def aspect_of(text: str) -> Aspect:
    """Return a known aspect by its name, or one that a text describes, such as "What does it cost?"."""
    text = " ".join(text.split())
    if not text:
        return WHOLE
    if text.casefold() in KNOWN:
        return KNOWN[text.casefold()]
    question = text if text.endswith("?") else f"What does the text say about {text.rstrip('.')}?"
    words = [word for word in _WORD.findall(text.casefold()) if word not in _ASKING]
    words = [word[: max(4, len(word) - 2)] for word in words]  # "prices" finds "price".
    return Aspect(text, question, beginnings=tuple(sorted(set(words))))
