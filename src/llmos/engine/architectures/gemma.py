"""Gemma 1: Llama with a scaled embedding, GELU, and norms that store the difference from 1."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _config
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields, decoder_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, gguf_sources
from llmos.engine.architectures._read_keys import ChangedKeys
from llmos.engine.architectures._sources import Source, norms_plus_one
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "gemma"


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.flag("use_bidirectional_attention", False):
        raise limits.unsupported("bidirectional attention (use_bidirectional_attention)")
    has_bias = fields.flag("attention_bias", False)
    # The first configs say "gelu" and mean the approximation, with which the models were trained.
    activation = fields.string("hidden_activation", fields.string("hidden_act", "gelu"))
    return decoder_from_config(
        ChangedKeys(config, hidden_act="gelu_pytorch_tanh" if activation == "gelu" else activation),
        family="gemma",
        default_head_dim=256,
        is_tied=True,
        qkv_bias=has_bias,
        output_bias=has_bias,
        embedding_multiplier=fields.integer("hidden_size", high=limits.MAX_HIDDEN) ** 0.5,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return norms_plus_one(_config.hf_sources(spec))


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    hidden_size = gguf_fields(metadata, GGUF_ARCHITECTURE).integer("embedding_length", high=limits.MAX_HIDDEN)
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        activation="gelu_tanh",
        embedding_multiplier=hidden_size**0.5,
    )
