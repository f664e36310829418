"""Phi 3 and 4 (mini and medium): Llama with q, k and v in one tensor, gate and up in another, and longrope."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, rename, split_qkv, split_rows
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "phi3"
HARMLESS_CONFIG = {"original_max_position_embeddings": ANY, "full_attn_mod": (1,)}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    return decoder_from_config(
        config,
        family="phi3",
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_share=1.0),
        sliding_window=fields.integer("sliding_window", 0, low=0, high=limits.MAX_POSITIONS) or None,
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, partial_rotary=True)


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    layer = "model.layers.{i}"
    return _sources(spec, HF_NAMES, f"{layer}.self_attn.qkv_proj", f"{layer}.mlp.gate_up_proj")


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _sources(spec, GGUF_NAMES, "blk.{i}.attn_qkv", "blk.{i}.ffn_up")


def _sources(spec: DecoderSpec, names: Mapping[str, str], qkv: str, gate_up: str) -> dict[str, Source]:
    halves = {"gate": spec.intermediate_size, "up": spec.intermediate_size}
    return rename(spec, names) | split_qkv(spec, qkv) | split_rows(spec, gate_up, halves)
