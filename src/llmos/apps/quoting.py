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

_BOUNDARY = re.compile(r"(?<=[.!?])\s+(?![a-zß-ÿ])|(?<=[。！？])|\n+")
"""Between sentences. Behind an abbreviation, a small letter goes on."""
_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

_PER_RANK = 0.1
"""What a sentence loses for each passage that the search found better."""
_ENOUGH = 0.5
"""A further sentence has this share of the best one's score, or more."""


def quote(hits: Sequence[SearchHit], question: str, *, max_sentences: int = 3) -> list[Citation]:
    """Return up to `max_sentences` citations, each of one sentence, in the order of the documents."""
    found = [(rank, each) for rank, hit in enumerate(hits) for each in sentences_of(hit.citation)]
    if not found:
        return []
    terms = [_terms(each.quote) for _, each in found]
    having = Counter(term for each in terms for term in each)
    weight = {term: math.log(1 + len(found) / having[term]) for term in _terms(question) if term in having}
    scores = [
        sum(weight.get(term, 0.0) for term in each) * (1 - _PER_RANK * min(rank, 9))
        for (rank, _), each in zip(found, terms, strict=True)
    ]
    best = max(range(len(found)), key=lambda index: (scores[index], -index))
    chosen = sorted(range(len(found)), key=lambda index: (-scores[index], index))[:max_sentences]
    kept = {best, *(index for index in chosen if scores[index] >= _ENOUGH * scores[best] > 0)}
    return [found[index][1] for index in sorted(kept)]


def sentences_of(citation: Citation) -> Iterator[Citation]:
    """Yield the sentences of a passage, each with its own place in the document."""
    first = 0
    for boundary in [*(match.span() for match in _BOUNDARY.finditer(citation.quote)), (len(citation.quote),) * 2]:
        text = citation.quote[first : boundary[0]].strip()
        start = citation.quote.index(text, first) if text else first
        first = boundary[1]
        if _WORD.search(text) and not text.startswith("#"):  # A heading is no answer.
            place = citation.start + start
            yield msgspec.structs.replace(citation, quote=text, start=place, end=place + len(text))


def _terms(text: str) -> set[str]:
    """Return the words of a text, and of Chinese, Japanese and Korean its pairs of characters."""
    folded = text.casefold()
    pairs = {run[index : index + 2] for run in _CJK.findall(folded) for index in range(max(1, len(run) - 1))}
    return pairs | set(_WORD.findall(_CJK.sub(" ", folded)))
