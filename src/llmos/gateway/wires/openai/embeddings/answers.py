"""The answer of POST /v1/embeddings."""

from typing import Literal

import msgspec

from llmos.gateway.http.answers import EmbeddingUsage


class Embedding(msgspec.Struct):
    index: int
    embedding: list[float] | str
    """A string with encoding_format base64."""
    object: Literal["embedding"] = "embedding"


class EmbeddingList(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    model: str
    """The version that answered, such as minilm@1."""
    data: list[Embedding]
    usage: EmbeddingUsage
