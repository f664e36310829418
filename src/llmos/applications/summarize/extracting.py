"""Extracting: a summary of a document's own sentences, so that nothing in it is invented. No model is asked.

A sentence is central if it has the words that many other sentences have, and not nearly all. Words of the aspect count
more; a sentence that says what a chosen one says counts less.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmos.applications.summarize.aspects import Aspect
from llmos.applications.summarize.chunking import cut
from llmos.core.sentences import Span, sentences_in

_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_EXPONENT = 0.6
"""A sentence has the weights of its words over this power of their number: neither the longest nor the shortest win."""
_FEW = 3
"""A part of a text with fewer words, such as a page number, is chosen only if there is nothing else."""
_LONG_CHARS = 300
"""A longer sentence is chosen only if there is nothing else."""
_MAX_CHARS = 1_000
"""A longer sentence, such as a file in one line, is cut between words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Length:
    """The most that a summary may have."""

    sentences: int = 3
    words: int | None = None

    def keep(self, texts: Sequence[str]) -> int:
        """Return how many of these sentences fit, from the first on: at least one."""
        count, words = 0, 0
        for text in texts[: self.sentences]:
            words += num_words(text)
            if self.words is not None and words > self.words:
                break
            count += 1
        return max(1, count)


def num_words(text: str) -> int:
    """Return the words of a text; each character of Chinese, Japanese and Korean is one."""
    return len(_WORD.findall(_CJK.sub(" ", text))) + sum(map(len, _CJK.findall(text)))


def first_sentences(text: str, length: Length) -> list[Span]:
    """Return the sentences that a text begins with."""
    spans = [*sentences_in(text)]
    return spans[: length.keep([text[start:end] for start, end in spans])] if spans else []


def central_sentences(text: str, aspect: Aspect, length: Length) -> list[Span]:
    """Return the most central sentences of a text, in their order. An empty text has none."""
    spans = _sentences(text)
    terms = [_terms(text[start:end]) for start, end in spans]
    order = _ranked(_centrality(terms, aspect), terms, length.sentences)
    if length.words is not None:
        order = _within(order, [num_words(text[start:end]) for start, end in spans], length.words)
    return [spans[each] for each in sorted(order)]


def _sentences(text: str) -> list[Span]:
    """Return the sentences, without headings and fragments if there are others."""
    every = [piece for span in sentences_in(text) for piece in cut(text, span, _MAX_CHARS)]
    prose = [span for span in every if text[span[0]] != "#"]
    usual = [span for span in prose if span[1] - span[0] <= _LONG_CHARS and num_words(text[slice(*span)]) > _FEW]
    return usual or prose or every


def _centrality(terms: Sequence[frozenset[str]], aspect: Aspect) -> list[float]:
    """Return a score for each sentence."""
    having = Counter(term for each in terms for term in each)
    total = len(terms) + 1
    weight = {
        term: math.log(1 + count) * math.log(total / count) if count > 1 else 0.0 for term, count in having.items()
    }
    scores = [sum(weight[term] for term in each) / max(1, len(each)) ** _EXPONENT for each in terms]
    rarity = {term: math.log(total / count) / math.log(total) for term, count in having.items()}
    gains = [aspect.gain(each, rarity) for each in terms]
    return [(score + 1e-9) * (1 + gain) for score, gain in zip(scores, gains, strict=True)]


def _ranked(scores: Sequence[float], terms: Sequence[frozenset[str]], limit: int) -> list[int]:
    """Return up to `limit` sentences, best first, each less the share of its words that the chosen ones have."""
    left = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[: max(50, 10 * limit)]
    chosen: list[int] = []
    while left and len(chosen) < limit:
        said = frozenset().union(*(terms[index] for index in chosen))
        best = max(left, key=lambda index: (scores[index] * (1 - _share(terms[index], said)), -index))
        chosen.append(best)
        left.remove(best)
    return chosen


def _within(order: Sequence[int], sizes: Sequence[int], limit: int) -> list[int]:
    """Return the sentences that fit into a number of words, the best ones first; the shortest one if none does."""
    chosen: list[int] = []
    for index in order:
        if sizes[index] <= limit:
            chosen.append(index)
            limit -= sizes[index]
    return chosen or sorted(order, key=lambda index: sizes[index])[:1]


def _share(terms: frozenset[str], said: frozenset[str]) -> float:
    return len(terms & said) / max(1, len(terms))


def _terms(text: str) -> frozenset[str]:
    """Return the words of a text, and of Chinese, Japanese and Korean its pairs of characters."""
    folded = text.casefold()
    pairs = {run[index : index + 2] for run in _CJK.findall(folded) for index in range(max(1, len(run) - 1))}
    return frozenset(pairs) | frozenset(_WORD.findall(_CJK.sub(" ", folded)))
