"""LinearModel: gives a passage a probability from its n-grams, the concepts in it and the rules that match it.

    logit = bias + Σ weight of each rule + scale · Σ weight of each feature of concepts
                 + Σ weight of each n-gram of words / √count + Σ of each of characters / √count

The weights are files in weights/, which scripts in training/ write.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from llmos.security.guardrails import concepts
from llmos.security.guardrails.ngrams import ngrams

_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearModel:
    """Scores passages that normalize() has prepared. Any thread may use it."""

    ngrams: NDArray[np.float32]
    """The weight of each bucket of n-grams."""
    concepts: NDArray[np.float32]
    """The weight of each feature of concepts.py."""
    rules: Mapping[str, float]
    bias: float
    threshold: float
    """The probability from which on a passage of a user counts as found, unless a policy says otherwise."""
    tool_threshold: float
    """The same for what a tool returns."""

    def probability(self, text: str, rules: Sequence[str] = ()) -> float:
        """Return the probability that the text is of the class. `rules`: the names of those that match it."""
        logit = self.bias + sum(self.rules.get(rule, 0.0) for rule in rules)
        if features := concepts.features(text):
            logit += concepts.scale(len(features)) * float(self.concepts[features].sum())
        for indices in ngrams(text):
            if len(indices):
                logit += float(self.ngrams[indices].sum()) / math.sqrt(len(indices))
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


@cache
def load_model(name: str) -> LinearModel:
    """Return the model of a file in weights/."""
    with safe_open(_WEIGHTS / f"{name}.safetensors", framework="numpy") as file:
        stored: Any = file
        metadata = stored.metadata()
        assert len(stored.get_tensor("concepts")) == concepts.NUM_FEATURES, f"Train {name} again: NAMES has changed."
        return LinearModel(
            ngrams=stored.get_tensor("ngrams").astype(np.float32),
            concepts=stored.get_tensor("concepts").astype(np.float32),
            rules=dict(zip(metadata["rules"].split(), stored.get_tensor("rules").tolist(), strict=True)),
            bias=float(stored.get_tensor("bias")[0]),
            threshold=float(metadata["threshold"]),
            tool_threshold=float(metadata["tool_threshold"]),
        )
