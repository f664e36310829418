"""Facts: whether a text has those that it must use, and which part of it is to have which. It asks no model.

A text has a fact if it has the fact's words as they are, or one sentence with all of its figures and names and most of
its other words.
"""

import re
from collections.abc import Sequence

from llmos.applications.figures import figures_in
from llmos.core.sentences import sentences_in

_WORD = re.compile(r"[^\W_]+")
_MOST = 0.6
"""The share of a fact's longer words that its sentence has."""
_LONG = 4


def missing_facts(text: str, facts: Sequence[str]) -> list[str]:
    """Return the facts that a text doesn't have."""
    return [fact for fact in facts if not has_fact(text, fact)]


def has_fact(text: str, fact: str) -> bool:
    """Return whether a text has a fact."""
    if _plain(fact) in _plain(text):
        return True
    figures = [each.readings for each in figures_in(fact)]
    rest = _without_figures(fact)
    names, words = _names(rest), _long_words(rest)
    for start, end in sentences_in(text):
        sentence = text[start:end]
        has = _words(sentence)
        if not names <= has or len(words & has) < _MOST * len(words):
            continue
        known = frozenset().union(*(each.readings for each in figures_in(sentence)))
        if all(readings & known for readings in figures):
            return True
    return False


def as_sentence(fact: str) -> str:
    """Return a fact as a sentence."""
    text = " ".join(fact.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "。")) else ".")


def assign(facts: Sequence[str], parts: Sequence[str]) -> list[list[str]]:
    """Return the facts of each part: those whose words it shares most. Where none does, the part with the fewest."""
    assigned: list[list[str]] = [[] for _ in parts]
    for fact in facts:
        words = _long_words(fact)
        shared = [len(words & _words(part)) for part in parts]
        best = min(range(len(parts)), key=lambda index: (-shared[index], len(assigned[index]), index))
        assigned[best].append(fact)
    return assigned


def _without_figures(fact: str) -> str:
    for each in reversed(figures_in(fact)):
        fact = fact[: each.span[0]] + fact[each.span[1] :]
    return fact


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!?")


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


def _names(fact: str) -> frozenset[str]:
    """Return the words with a capital letter, but the first one, which may have it for its place."""
    words = _WORD.findall(fact)
    return frozenset(each.casefold() for each in words[1:] if each[0].isupper())


def _long_words(fact: str) -> frozenset[str]:
    return frozenset(each for each in _words(fact) if len(each) >= _LONG and not each.isdecimal())
