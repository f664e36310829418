"""The answers of POST /api/embed and /api/embeddings."""

import msgspec


class OllamaVectors(msgspec.Struct, kw_only=True):
    model: str
    """The Version that really answered, such as minilm@1."""
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    """Tokens that were computed for all texts, control tokens included."""


class OllamaVector(msgspec.Struct):
    embedding: list[float]
