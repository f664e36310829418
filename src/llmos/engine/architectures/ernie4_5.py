"""ERNIE 4.5, the dense models: Llama with interleaved rotary pairs."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _config
from llmos.engine.architectures._config import config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, permuted_gguf_sources
from llmos.engine.architectures._sources import Source, half_split_heads
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "ernie4_5"

gguf_sources = permuted_gguf_sources


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("use_bias", False)
    return decoder_from_config(
        config,
        family="ernie4_5",
        default_head_dim=128,
        default_eps=1e-5,
        is_tied=True,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields, 128), default_theta=500_000.0),
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=has_bias,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return half_split_heads(spec, _config.hf_sources(spec))


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE)
