"""Gemma 3n, run on text: its language model is "gemma3n_text"."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import gemma3n_text
from llmos.engine.architectures._text_config import harmless_with_text, text_config
from llmos.engine.architectures.gemma3n_text import hf_sources
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None  # the language model's
HARMLESS_CONFIG = harmless_with_text(gemma3n_text.HARMLESS_CONFIG)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 262_400, "hidden_size": 2048, "num_hidden_layers": 35, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 256, "max_position_embeddings": 32_768, "tie_word_embeddings": True,
}  # fmt: skip


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    return gemma3n_text.spec_from_config(text_config(config, _DEFAULTS))
