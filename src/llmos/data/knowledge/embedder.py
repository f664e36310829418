"""Embedder: makes the vectors of texts. The rooms above implement it: the data rooms know no models."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from llmos.core.errors import LLMOSError

Vectors = NDArray[np.float32]
"""[num_texts, dimensions]."""

Role = Literal["query", "document"]

DEFAULT_EMBEDDING = "minilm"
"""The model that makes vectors where nobody names one."""


class Embedder(Protocol):
    """One version of an embedding model."""

    @property
    def ref(self) -> str:
        """NAME@NUMBER."""

    @property
    def digest(self) -> str:
        """sha256:<hex> of the version."""

    @property
    def max_tokens(self) -> int:
        """The most tokens of a text, as count_tokens() counts them."""

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text. Takes microseconds: asks no server."""

    def unknown_share(self, text: str) -> float:
        """Return the share of a text's tokens that the model doesn't know, from 0 to 1. Asks no server."""

    def embed(self, texts: Sequence[str], role: Role) -> "Future[Vectors]":
        """Begin to make the vectors of texts, several calls at once. The future raises the LLMOSError that says why
        there are none."""


OpenEmbedder = Callable[[str], Embedder]
"""Return the embedder of a model by its reference. Raises ModelNotFound, and BadRequest for one that embeds nothing."""


def unit(vectors: Vectors) -> Vectors:
    """Return the vectors with the length 1. Raises LLMOSError for one without a direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths) & (lengths > 0)):
        raise LLMOSError("The embedding model returned a vector of zeros, or of no numbers. Use another model.")
    normalized: Vectors = vectors / lengths
    return normalized
