"""The answer of POST /v1/score."""

from typing import Literal

import msgspec

from llmos.gateway.http.answers import EmbeddingUsage


class Score(msgspec.Struct):
    index: int
    score: float
    """A reranker's score of the pair. With a model that makes embeddings, the cosine similarity of the two texts."""
    object: Literal["score"] = "score"


class ScoreList(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    """The version that answered, such as minilm@1."""
    data: list[Score]
    usage: EmbeddingUsage
