"""Shares with intervals, and a file of weights."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from linear import RULES_FROM, Fitted
from safetensors.numpy import save_file

from llmos.security.guardrails.ngrams import NUM_BUCKETS


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return Wilson's interval of a share at 95 percent."""
    z, share = 1.959964, hits / total
    center = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, center - half), min(1.0, center + half)


def row(name: str, hits: int, total: int) -> str:
    """Return a row of a table in Markdown."""
    low, high = wilson(hits, total)
    return f"| {name} | {total:,} | {100 * hits / total:.1f} % | {100 * low:.1f}–{100 * high:.1f} % |"


def save(path: Path, fitted: Fitted, rules: Sequence[str], metadata: Mapping[str, str]) -> None:
    """Write the weights, those of n-grams and concepts as 16-bit floats."""
    tensors = {
        "ngrams": fitted.weights[:NUM_BUCKETS].astype(np.float16),
        "concepts": fitted.weights[NUM_BUCKETS:RULES_FROM].astype(np.float16),
        "rules": fitted.weights[RULES_FROM:].astype(np.float32),
        "bias": np.array([fitted.bias], np.float32),
    }
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, {"rules": " ".join(rules), **metadata})
