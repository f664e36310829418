"""The answers of POST /api/embed and /api/embeddings."""

import msgspec


class OllamaVectors(msgspec.Struct, kw_only=True):
    model: str
    """The version that answered, such as minilm@1."""
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    """The tokens of all texts, including special tokens."""


class OllamaVector(msgspec.Struct):
    embedding: list[float]
