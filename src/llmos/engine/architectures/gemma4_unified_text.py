"""The language model of Gemma 4 12B: Gemma 4's, without embeddings of each layer's own and without experts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import gemma4_text
from llmos.engine.architectures._read_keys import ChangedKeys
from llmos.engine.architectures.gemma4_text import HARMLESS_CONFIG, hf_sources
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "HARMLESS_CONFIG", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None  # converters write gemma4


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    usual: dict[str, Any] = {"hidden_size_per_layer_input": 0, "sliding_window": 1024}
    missing = {key: value for key, value in usual.items() if key not in config}
    return replace(gemma4_text.spec_from_config(ChangedKeys(config, **missing)), family="gemma4_unified_text")
