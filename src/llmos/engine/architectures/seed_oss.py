"""Seed-OSS: Llama with biases on q, k and v, and an independent head size."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "seed_oss"


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    return decoder_from_config(
        config,
        family="seed_oss",
        default_head_dim=128,
        qkv_bias=fields.flag("attention_bias", True),
        output_bias=fields.flag("attention_out_bias", False),
        mlp_bias=fields.flag("mlp_bias", False),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, GGUF_NAMES | {"mlp_norm": "blk.{i}.post_attention_norm"})
