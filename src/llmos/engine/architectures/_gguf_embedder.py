"""Reads from GGUF metadata how a model embeds texts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.encoder_spec import EncoderSpec, ModelSpec, Pooling, embedder_of
from llmos.engine.spec import DecoderSpec

_POOLINGS: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last"}
"""Values of `{architecture}.pooling_type`. 0: none."""
_RANK = 4
"""The value for a reranker."""

EMBEDDER_SUFFIX = "_embedding"
"""Ends the family of a model that embeds texts by the layers of a decoder: "qwen3_embedding"."""


def embeds_texts(metadata: Mapping[str, Any], architecture: str) -> bool:
    """Return whether a file's model makes vectors instead of text."""
    pooling = metadata.get(f"{architecture}.pooling_type")
    return pooling in _POOLINGS or pooling == _RANK or metadata.get(f"{architecture}.attention.causal") is False


def ranks_texts(metadata: Mapping[str, Any], architecture: str) -> bool:
    """Return whether a file's model is a reranker."""
    return metadata.get(f"{architecture}.pooling_type") == _RANK


def with_gguf_pooling(spec: ModelSpec, metadata: Mapping[str, Any], architecture: str) -> ModelSpec:
    """Return the spec with the pooling that the file names; of a decoder, the spec of a model that embeds texts.

    Vectors have the length 1, as llama.cpp's and Ollama's: files don't say. Raises UnsupportedModel.
    """
    if not embeds_texts(metadata, architecture):
        return spec
    pooling = metadata.get(f"{architecture}.pooling_type", 0)
    if pooling and pooling not in _POOLINGS:
        raise limits.unsupported(f"the pooling_type {pooling!r:.20}")
    embedder: EncoderSpec = (
        embedder_of(spec, family=f"{spec.family}{EMBEDDER_SUFFIX}") if isinstance(spec, DecoderSpec) else spec
    )
    return replace(embedder, pooling=_POOLINGS.get(pooling, "mean"), normalize=True)
