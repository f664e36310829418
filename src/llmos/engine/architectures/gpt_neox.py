"""GPT-NeoX: Pythia and the 20B. Layer norms, biases, parallel attention and feed-forward layer, a quarter rotated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures._config import config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf, gguf_fields
from llmos.engine.architectures._sources import Grouped, Source, rename, split_qkv
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "gptneox"
HF_PREFIX = "gpt_neox."

_HF_NAMES = {
    "embed": "gpt_neox.embed_in",
    "attn_norm": "gpt_neox.layers.{i}.input_layernorm",
    "q": "gpt_neox.layers.{i}.attention.query_key_value",
    "k": "gpt_neox.layers.{i}.attention.query_key_value",
    "v": "gpt_neox.layers.{i}.attention.query_key_value",
    "o": "gpt_neox.layers.{i}.attention.dense",
    "mlp_norm": "gpt_neox.layers.{i}.post_attention_layernorm",
    "up": "gpt_neox.layers.{i}.mlp.dense_h_to_4h",
    "down": "gpt_neox.layers.{i}.mlp.dense_4h_to_h",
    "final_norm": "gpt_neox.final_layer_norm",
    "head": "embed_out",
}

_TRAITS: dict[str, Any] = {"norm": "layernorm", "gated": False}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", True)
    rope = rope_from_config(
        fields,
        head_dim=head_dim_from_config(fields),
        default_share=0.25,
        theta_name="rotary_emb_base",
        share_name="rotary_pct",
    )
    spec = decoder_from_config(
        config,
        family="gpt_neox",
        eps_name="layer_norm_eps",
        default_eps=1e-5,
        default_activation="gelu",
        rope=rope,
        parallel_residual=fields.flag("use_parallel_residual", True),
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=True,
        **_TRAITS,
    )
    return _check_kv_heads(spec)


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = rename(spec, _HF_NAMES)
    for name, source in sources.items():
        part = name.split(".")[-2]
        if part in ("q", "k", "v"):
            first = "qkv".index(part) * spec.head_dim
            grouped = Grouped(spec.num_heads, 3 * spec.head_dim, ((first, first + spec.head_dim),))
            sources[name] = replace(source, grouped=grouped)
    return sources


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. The kind of GELU isn't in the file; Pythia uses the exact one."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    spec = decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="gpt_neox",
        partial_rotary=True,
        activation="gelu",
        parallel_residual=fields.flag("use_parallel_residual", True),
        **_TRAITS,
    )
    return _check_kv_heads(spec)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources. llama.cpp's converter puts all queries first, then all keys, then all values."""
    return rename(spec, GGUF_NAMES) | split_qkv(spec, "blk.{i}.attn_qkv")


def _check_kv_heads(spec: DecoderSpec) -> DecoderSpec:
    if spec.num_kv_heads != spec.num_heads:
        raise BadModelFile("GPT-NeoX has the same number of key-value heads and attention heads.")
    return spec
