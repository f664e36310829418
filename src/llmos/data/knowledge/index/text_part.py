"""The text part of an index: BM25 over all words of a question, from an inverted file that is a few arrays.

    scores = sum over terms of idf * (K1 + 1) * count / (count + K1 * (1 - B + B * length / mean length))
    idf    = ln(1 + (chunks - chunks with the term + 0.5) / (chunks with the term + 0.5))

Robertson and Zaragoza 2009; the idf, which is never negative, is Lucene's. Rows are the chunks in the order of the
index. No text of a user is a language of queries: its terms are looked up, and nothing else.
"""

import math

import numpy as np

from llmos.data.knowledge.index.files import Content
from llmos.data.knowledge.index.inverted_file import InvertedFile, Layout
from llmos.data.knowledge.index.ranking import Mask, Ranked, best_rows
from llmos.data.knowledge.index.words import query_terms

K1, B = 1.2, 0.75

MAX_TERMS = 256
"""The terms of a question that are looked up. Of more, those that the fewest chunks have."""


class TextPart:
    """Any thread may use it."""

    def __init__(self, content: Content, layout: Layout) -> None:
        """Open it. Raises BadModelFile if the content doesn't have this layout."""
        self._file = InvertedFile(content, layout)
        lengths = self._file.lengths.astype(np.float64)
        mean = float(lengths.mean()) if lengths.any() else 1.0
        self._norms = (K1 * (1 - B + B * lengths / mean)).astype(np.float32)

    def search(self, text: str, limit: int, allowed: Mask | None = None) -> Ranked:
        """Return the best rows that have any of the words, best first; equal ones in the order of rows.

        `allowed`: the rows that may be found.
        """
        scores = np.zeros(len(self._norms), np.float32)
        for term in self._rarest(query_terms(text)):
            rows, counts = self._file.postings(term)
            scores[rows] += self._weight(len(rows)) * (counts / (counts + self._norms[rows]))
        if allowed is not None:
            scores[~allowed] = 0
        return best_rows(scores, min(limit, int(np.count_nonzero(scores))))

    def _rarest(self, terms: list[str]) -> list[int]:
        """Return the indexes of the terms that exist, in one order, so that equal questions add up alike."""
        known = [term for term in map(self._file.find, terms) if term is not None]
        known.sort(key=lambda term: (self._file.num_rows(term), term))
        return known[:MAX_TERMS]

    def _weight(self, num_rows: int) -> np.float32:
        return np.float32((K1 + 1) * math.log1p((len(self._norms) - num_rows + 0.5) / (num_rows + 0.5)))
