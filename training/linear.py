"""Logistic regression on the features of linear_model.py, in numpy: the same weights in every run on one machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmos.security.guardrails import concepts
from llmos.security.guardrails.ngrams import NUM_BUCKETS, ngrams

RULES_FROM = NUM_BUCKETS + concepts.NUM_FEATURES
"""The weights are those of n-grams, then of concepts, then of rules."""

STEPS = 50
_RATE = 0.1
_PENALTY = 2e-5
"""Of the squares of the weights, for each example."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts as their features: rows of (index, value), one after another."""

    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        ends = np.append(self.starts[1:], len(self.indices))
        sizes = (ends - self.starts)[rows]
        kept = np.concatenate([np.arange(self.starts[row], ends[row]) for row in rows])
        return Examples(self.indices[kept], self.values[kept], np.append(0, np.cumsum(sizes)[:-1]))


def featurize(texts: Sequence[str], rules: Sequence[Sequence[int]]) -> Examples:
    """`rules`: the indices of the rules that each text matches."""
    indices, values, sizes = [], [], []
    for text, matching in zip(texts, rules, strict=True):
        found = concepts.features(text)
        row = [np.array(matching, np.int64) + RULES_FROM, np.array(found, np.int64) + NUM_BUCKETS, *ngrams(text)]
        scale = [
            np.ones(len(matching)),
            np.full(len(found), concepts.scale(len(found))),
            *(np.full(len(each), 1 / np.sqrt(max(1, len(each)))) for each in row[2:]),
        ]
        # An example without features would have no row.
        row.append(np.array([NUM_BUCKETS - 1]))
        scale.append(np.zeros(1))
        indices.append(np.concatenate(row).astype(np.int32))
        values.append(np.concatenate(scale).astype(np.float32))
        sizes.append(len(indices[-1]))
    return Examples(np.concatenate(indices), np.concatenate(values), np.append(0, np.cumsum(sizes)[:-1]))


@dataclass(frozen=True, slots=True)
class Fitted:
    weights: NDArray[np.float32]
    """Of the n-grams, of the concepts, of the rules."""
    bias: float

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        return np.add.reduceat(self.weights[examples.indices] * examples.values, examples.starts) + self.bias


def untrained(num_rules: int) -> Fitted:
    return Fitted(np.zeros(RULES_FROM + num_rules, np.float32), 0.0)


def fit(examples: Examples, labels: NDArray[np.bool_], importance: NDArray[np.float64], begin: Fitted) -> Fitted:
    """Go some steps of Adam toward the least logistic loss, on all examples at once. `importance`: of each example."""
    weights, bias = begin.weights.astype(np.float64), begin.bias
    num_weights = len(weights)
    first, second = np.zeros(num_weights + 1), np.zeros(num_weights + 1)
    importance = importance / importance.sum()
    sizes = np.diff(np.append(examples.starts, len(examples.indices)))
    for step in range(1, STEPS + 1):
        logits = np.add.reduceat(weights[examples.indices] * examples.values, examples.starts) + bias
        errors = (1 / (1 + np.exp(-logits)) - labels) * importance
        gradient = np.bincount(examples.indices, np.repeat(errors, sizes) * examples.values, num_weights)
        gradient = np.append(gradient + _PENALTY * weights, errors.sum())
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        change = _RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-9)
        weights, bias = weights - change[:-1], bias - change[-1]
    return Fitted(weights.astype(np.float32), float(bias))
