"""The answer of POST /v1/rerank."""

import msgspec

from llmos.gateway.http.answers import EmbeddingUsage


class RerankedDocument(msgspec.Struct):
    text: str


class Reranked(msgspec.Struct, omit_defaults=True):
    index: int
    """Its place in the request."""
    relevance_score: float
    """The cosine of its vector and the query's."""
    document: RerankedDocument | None = None


class RerankAnswer(msgspec.Struct, kw_only=True):
    id: str
    model: str
    """The Version that really answered, such as minilm@1."""
    results: list[Reranked]
    """The best first."""
    usage: EmbeddingUsage
