"""Llama 1 to 3 and many models like it: SmolLM2, TinyLlama, Yi ... Mistral and Mixtral are "llama" in GGUF."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _gguf
from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._sources import Source
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "llama"


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    return decoder_from_config(
        config,
        family="llama",
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=fields.flag("mlp_bias", False),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return _gguf.decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, experts=True)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _gguf.permuted_gguf_sources(spec)
