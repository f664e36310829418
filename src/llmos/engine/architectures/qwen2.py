"""Qwen 2 and 2.5: Llama with a bias on q, k and v."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_sources
from llmos.engine.architectures._windows import optional_window_fields
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "qwen2"


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    return decoder_from_config(
        config, family="qwen2", qkv_bias=True, windows=optional_window_fields(config_fields(config))
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE)
