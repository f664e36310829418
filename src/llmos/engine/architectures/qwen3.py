"""Qwen 3: an RMS norm over each query and key head, and an independent head size."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_sources
from llmos.engine.architectures._windows import optional_window_fields
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "qwen3"


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    return decoder_from_config(
        config,
        family="qwen3",
        default_head_dim=128,
        qkv_bias=has_bias,
        output_bias=has_bias,
        qk_norm="head",
        windows=optional_window_fields(fields),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, qk_norm="head")
