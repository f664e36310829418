"""Arcee: Llama with a plain feed-forward layer and a squared ReLU."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._gguf import decoder_from_gguf, permuted_gguf_sources
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "arcee"

gguf_sources = permuted_gguf_sources


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    return decoder_from_config(
        config,
        family="arcee",
        default_eps=1e-5,
        default_activation="relu2",
        gated=False,
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=fields.flag("mlp_bias", False),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, activation="relu2", gated=False)
