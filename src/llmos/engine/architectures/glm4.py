"""GLM 4 (0414): norms before and after each sublayer, half of each head rotated in interleaved pairs, gate and up
in one tensor.
"""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf
from llmos.engine.architectures._sources import Source, half_split_heads, rename, split_rows
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "glm4"

_HF_NAMES = HF_NAMES | {
    "attn_post_norm": "model.layers.{i}.post_self_attn_layernorm",
    "mlp_post_norm": "model.layers.{i}.post_mlp_layernorm",
}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    return decoder_from_config(
        config,
        family="glm4",
        default_head_dim=128,
        default_eps=1.5625e-7,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields, 128), default_share=0.5),
        post_norm=True,
        qkv_bias=fields.flag("attention_bias", True),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, partial_rotary=True, post_norm=True)


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _sources(spec, _HF_NAMES, "model.layers.{i}.mlp.gate_up_proj")


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _sources(spec, GGUF_NAMES, "blk.{i}.ffn_up")


def _sources(spec: DecoderSpec, names: Mapping[str, str], gate_up: str) -> dict[str, Source]:
    halves = {"gate": spec.intermediate_size, "up": spec.intermediate_size}
    return half_split_heads(spec, rename(spec, names)) | split_rows(spec, gate_up, halves)
