"""Gemma 4 12B, run on text: its language model is "gemma4_unified_text"."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import gemma4_unified_text
from llmos.engine.architectures._text_config import harmless_with_text, text_config
from llmos.engine.architectures.gemma4_unified_text import hf_sources
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None
HARMLESS_CONFIG = harmless_with_text(gemma4_unified_text.HARMLESS_CONFIG)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 262_144, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 30,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 262_144,
    "tie_word_embeddings": True,
}  # fmt: skip


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    return gemma4_unified_text.spec_from_config(text_config(config, _DEFAULTS))
