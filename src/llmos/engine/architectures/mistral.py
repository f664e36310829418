"""Mistral 7B: Llama with a sliding window. Its GGUF files say "llama"."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    # An absent window is 4096, null means no window (version 0.2 and later).
    window = config_fields(config).integer("sliding_window", 0, low=0, high=limits.MAX_POSITIONS)
    if "sliding_window" not in config:
        window = 4096
    return decoder_from_config(config, family="mistral", sliding_window=window or None)
