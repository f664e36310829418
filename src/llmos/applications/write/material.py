"""Material: the passages of the sources that fit a section. It asks no model."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from llmos.core.schemas.knowledge import Citation, SearchHit
from llmos.core.sentences import sentences_in

_CHARS = 600
_WORD = re.compile(r"[^\W_]{3,}")


def passages_for(question: str, sources: Sequence[str], limit: int = 3) -> list[SearchHit]:
    """Return the passages with the rarest words of a question, best first; none that has none of them."""
    passages = [each for index, source in enumerate(sources) for each in _passages(index, source)]
    terms = [frozenset(_WORD.findall(each.quote.casefold())) for each in passages]
    having = Counter(term for each in terms for term in each)
    weight = {
        term: math.log(1 + len(terms) / having[term]) for term in _WORD.findall(question.casefold()) if term in having
    }
    scores = [sum(weight.get(term, 0.0) for term in each) for each in terms]
    order = sorted(range(len(passages)), key=lambda index: (-scores[index], index))[:limit]
    return [SearchHit(text=passages[index].quote, citation=passages[index]) for index in order if scores[index]]


def _passages(index: int, source: str) -> list[Citation]:
    """Return a source in passages of whole sentences; an endless sentence is cut."""
    spans: list[tuple[int, int]] = []
    for first, last in sentences_in(source):
        for start in range(first, last, _CHARS):
            end = min(last, start + _CHARS)
            if spans and end - spans[-1][0] <= _CHARS:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
    name = f"source {index + 1}"
    return [Citation(document=name, start=start, end=end, quote=source[start:end]) for start, end in spans]
