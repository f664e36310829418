"""Quoting: an answer of sentences out of documents, word for word, so that nothing in it is invented.

The search finds the passages; of these, the sentences with the question's rarest words are taken. A word is rare if few
sentences of the passages have it, so that no list of stop words is needed in any language.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from llmos.core.schemas.knowledge import Citation, SearchHit
from llmos.core.sentences import sentences_in

_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

_PER_RANK = 0.1
"""The penalty of a sentence for each passage that the search ranked higher."""
_ENOUGH = 0.8
"""A further sentence has this share of the best one's score, or more."""


def quote(hits: Sequence[SearchHit], question: str, *, max_sentences: int = 3) -> list[Citation]:
    """Return up to `max_sentences` citations, each of one sentence, in the order of the documents."""
    found = [(rank, *each) for rank, hit in enumerate(hits) for each in _with_terms(hit.citation)]
    if not found:
        return []
    having = Counter(term for _, _, terms in found for term in terms)
    weight = {term: math.log(1 + len(found) / having[term]) for term in _terms(question) if term in having}
    scores = [sum(weight.get(term, 0.0) for term in terms) * (1 - _PER_RANK * min(rank, 9)) for rank, _, terms in found]
    best = max(range(len(found)), key=lambda index: (scores[index], -index))
    chosen = sorted(range(len(found)), key=lambda index: (-scores[index], index))[:max_sentences]
    kept = {best, *(index for index in chosen if scores[index] >= _ENOUGH * scores[best] > 0)}
    return [found[index][1] for index in sorted(kept)]


def sentences_of(citation: Citation) -> Iterator[Citation]:
    """Yield the sentences of a passage, and its headings, each with its own place in the document."""
    for start, end in sentences_in(citation.quote):
        text, place = citation.quote[start:end], citation.start
        yield msgspec.structs.replace(citation, quote=text, start=place + start, end=place + end)


def _with_terms(citation: Citation) -> Iterator[tuple[Citation, set[str]]]:
    """Yield what a passage says. A heading is no answer, nor is a question with a sentence behind it: their words count
    for what stands under them, up to the next one, or to the end of the paragraph that answers the question."""
    heading, question, is_answered, end = _terms(" ".join(citation.heading[-1:])), set[str](), False, 0
    sentences = [*sentences_of(citation)]
    for index, each in enumerate(sentences):
        text, start = each.quote, each.start - citation.start
        if is_answered and "\n\n" in citation.quote[end:start]:
            question = set()
        end = each.end - citation.start
        if text[0] == "#":
            heading, question = _terms(text), set()
        elif text.endswith(("?", "？", "؟")) and index + 1 < len(sentences):
            question, is_answered = _terms(text), False
        else:
            yield each, _terms(text) | heading | question
            is_answered = True


def _terms(text: str) -> set[str]:
    """Return the words of a text, and of Chinese, Japanese and Korean its pairs of characters."""
    folded = text.casefold()
    pairs = {run[index : index + 2] for run in _CJK.findall(folded) for index in range(max(1, len(run) - 1))}
    return pairs | set(_WORD.findall(_CJK.sub(" ", folded)))
