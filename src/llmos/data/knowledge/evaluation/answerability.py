"""Answerability: how likely the documents answer a question, from what a search for it found.

Two signals, which a logistic regression joins: the cosine of the likeliest chunk, and the largest share of the
question's words that one chunk has. Measured on chatterbot-corpus with all-MiniLM-L6-v2: see docs/knowledge.md.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from llmos.data.knowledge.index.words import query_terms, terms_of

MEASURE = "cosine_and_words/1"
"""The name of the measure. Another way to compute it has another number."""

DEPTH = 5
"""The hits of each part of a search that are evidence."""

_SHRINKAGE = 1.0
"""The strength of the shrinkage of standardised weights towards 0. Without it, the weights grow without limit if the
cases are completely separable."""
_STEPS = 50

Floats = npt.NDArray[np.float64]


class Evidence(NamedTuple):
    """The result of a search, in two numbers."""

    cosine: float
    """The largest of the hits. 0 if there are none."""
    words: float
    """The largest share of the question's different words that are in one hit."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """The probability that the documents answer a question: 1 / (1 + exp(-(intercept + cosine * … + words * …)))."""

    intercept: float
    cosine: float
    words: float

    def probability(self, evidence: Evidence) -> float:
        return float(_sigmoid(np.array(self.intercept + self.cosine * evidence.cosine + self.words * evidence.words)))


def evidence_of(question: str, found: Iterable[tuple[str, float | None]]) -> Evidence:
    """Return the evidence of the first hits of both parts: (text, cosine) of each."""
    asked, cosine, share = set(query_terms(question)), 0.0, 0.0
    for text, similarity in found:
        cosine = max(cosine, similarity or 0.0)
        if asked:
            share = max(share, len(asked.intersection(terms_of(text))) / len(asked))
    return Evidence(cosine, share)


def fit_measure(evidence: Sequence[Evidence], is_answerable: Sequence[bool]) -> Measure:
    """Fit the measure by logistic regression with a small penalty on the weights of the standardised signals.

    Newton's method (iteratively reweighted least squares), a fixed number of steps: the same cases, the same weights.
    """
    signals = np.array(evidence, np.float64)
    mean, spread = signals.mean(0), signals.std(0) + 1e-9
    rows = np.column_stack([np.ones(len(signals)), (signals - mean) / spread])
    wanted = np.array(is_answerable, np.float64)
    penalty = np.diag([0.0, 1.0, 1.0]) * _SHRINKAGE
    weights = np.zeros(3)
    for _ in range(_STEPS):
        likely = _sigmoid(rows @ weights)
        curvature = (rows * (likely * (1 - likely) + 1e-9)[:, None]).T @ rows + penalty
        weights += np.linalg.solve(curvature, rows.T @ (wanted - likely) - penalty @ weights)
    slopes = weights[1:] / spread
    return Measure(intercept=float(weights[0] - slopes @ mean), cosine=float(slopes[0]), words=float(slopes[1]))


def best_threshold(likely: Sequence[float], is_answerable: Sequence[bool]) -> float:
    """Return the probability below which a question counts as not answered by the documents.

    The one with the largest F1 of "not in here"; of several, the middle one. It lies halfway between two cases.
    """
    order = np.argsort(likely, kind="stable")
    values = np.asarray(likely, np.float64)[order]
    is_missing = ~np.asarray(is_answerable, bool)[order]
    num_below = np.arange(1, len(values))[np.diff(values) > 0]  # how many cases lie below each possible threshold
    if len(num_below) == 0:
        return float(values[0])
    found = np.concatenate([[0], np.cumsum(is_missing)])[num_below]
    f1 = 2 * found / (num_below + is_missing.sum())
    best = num_below[np.flatnonzero(f1 >= f1.max() - 1e-12)]
    chosen = best[len(best) // 2]
    return float((values[chosen - 1] + values[chosen]) / 2)


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return result
