"""The answer of POST /v1/rerank."""

import msgspec

from llmos.gateway.http.answers import EmbeddingUsage


class RerankedDocument(msgspec.Struct):
    text: str


class Reranked(msgspec.Struct, omit_defaults=True):
    index: int
    """The position of the document in the request."""
    relevance_score: float
    """A reranker's score. With a model that makes embeddings, the cosine similarity of the document and the query."""
    document: RerankedDocument | None = None


class RerankAnswer(msgspec.Struct, kw_only=True):
    id: str
    model: str
    """The version that answered, such as minilm@1."""
    results: list[Reranked]
    """The most relevant document comes first."""
    usage: EmbeddingUsage
