"""Support: which passages have what a sentence of an answer says. Citations are computed, not written by a model.

A passage supports a sentence if it has nearly all of the sentence's words, each weighed by its length, since short
words say little in every language; three words at least that say something; and each of the sentence's numbers. This
compares words, not meanings: a sentence that denies what the passage says has the words, too.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from llmos.data.documents.chunks import cut_sentences
from llmos.data.knowledge.index.words import query_terms, terms_of

MIN_SHARE = 0.8
"""The least share of the weight of a sentence's words that a supporting passage must contain."""
MIN_WORDS = 3
"""The words in common that say something: those of four characters and more, numbers, and pairs of Chinese, Japanese
and Korean characters. "Yes, it is." is in any text."""

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class Supported(NamedTuple):
    """A sentence of the answer that a passage supports."""

    end: int
    """The end of the sentence, in characters of the answer."""
    passage: int
    """The index of the passage that contains most of it; the first of several equal ones."""


def supported_sentences(answer: str, passages: Sequence[str]) -> list[Supported]:
    """Return the sentences of an answer that a passage supports, in their order."""
    known = [(set(terms_of(each)), _numbers(each)) for each in passages]
    supported = []
    for span in cut_sentences(answer):
        sentence = answer[span.start : span.end]
        words, numbers = set(query_terms(sentence)), _numbers(sentence)
        shares = [_share(words, of_passage) if numbers <= has else 0.0 for of_passage, has in known]
        if shares and (best := max(shares)) >= MIN_SHARE:
            supported.append(Supported(span.end, shares.index(best)))
    return supported


def _share(words: set[str], of_passage: set[str]) -> float:
    """Return the share of the words' weight that the passage has; 0 if too few words say something."""
    common = words & of_passage
    if sum(map(_says_something, common)) < MIN_WORDS:
        return 0.0
    return sum(map(len, common)) / sum(map(len, words))


def _says_something(word: str) -> bool:
    return len(word) > 3 or not word.isascii() or word.isdigit()


def _numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(text))
