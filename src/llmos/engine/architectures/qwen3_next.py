"""Qwen3-Next: a gated delta rule in three of four layers, gated attention, and many small experts with a shared one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import EXPERT_HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields
from llmos.engine.architectures._recurrent import (
    HARMLESS_DELTA_CONFIG,
    SHARED_EXPERT_GGUF_NAMES,
    delta_fields,
    delta_fields_from_gguf,
    delta_gguf_sources,
)
from llmos.engine.architectures._sources import Grouped, Source
from llmos.engine.architectures.qwen3_5_text import HF_DELTA_NAMES, delta_sources
from llmos.engine.architectures.qwen3_moe import dense_layers
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "qwen3next"
LEAVES_OUT_LAST_LAYERS = True
HARMLESS_CONFIG = HARMLESS_DELTA_CONFIG

_HF_NAMES = (
    HF_DELTA_NAMES
    | EXPERT_HF_NAMES
    | {
        "mix": "model.layers.{i}.linear_attn.in_proj_qkvz",
        "mix_gate": "model.layers.{i}.linear_attn.in_proj_qkvz",
        "beta": "model.layers.{i}.linear_attn.in_proj_ba",
        "step": "model.layers.{i}.linear_attn.in_proj_ba",
        "shared_router": "model.layers.{i}.mlp.shared_expert_gate",
    }
)


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    inner = {"high": limits.MAX_INTERMEDIATE}
    return decoder_from_config(
        config,
        family="qwen3_next",
        default_head_dim=256,
        num_experts=fields.integer("num_experts", 512, high=limits.MAX_EXPERTS),
        experts_per_token=fields.integer("num_experts_per_tok", 10, high=limits.MAX_EXPERTS),
        expert_size=fields.integer("moe_intermediate_size", 512, **inner),
        normalizes_experts=fields.flag("norm_topk_prob", True),
        dense_layers=dense_layers(fields),
        shared_expert_size=fields.integer("shared_expert_intermediate_size", 512, **inner),
        gates_shared_expert=True,
        **delta_fields(fields, head_dim_from_config(fields, 256)),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = delta_sources(spec, _HF_NAMES)
    # in_proj_qkvz has, for each key head: its query, its key, and the values and gates of the heads that it serves.
    key, heads = spec.recurrent_key_size, spec.recurrent_heads // spec.recurrent_key_heads
    values = heads * spec.recurrent_value_size
    size = 2 * key + 2 * values
    parts = {
        "mix": (size, ((0, key), (key, 2 * key), (2 * key, 2 * key + values))),
        "mix_gate": (size, ((2 * key + values, size),)),
        **_beta_and_step(spec),
    }
    for name, source in sources.items():
        layer, part = name.split(".")[1:3] if name.startswith("layers.") else ("", "")
        if part in parts and name.endswith(".weight"):
            sources[name] = replace(source, grouped=Grouped(spec.recurrent_key_heads, *parts[part]))
        elif part in ("gate", "up", "down") and spec.has_experts(int(layer)) and len(name.split(".")) == 4:
            sources[name] = replace(source, name=source.name.replace(".mlp.", ".mlp.shared_expert."))
    return sources


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE, experts=True)
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="qwen3_next",
        partial_rotary=True,
        experts=True,
        shared_expert_size=fields.integer("expert_shared_feed_forward_length", high=limits.MAX_INTERMEDIATE),
        gates_shared_expert=True,
        **delta_fields_from_gguf(fields),
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources. Converters take in_proj_qkvz apart, and leave in_proj_ba together."""
    names = dict.fromkeys(("beta", "step"), "blk.{i}.ssm_ba")
    sources = delta_gguf_sources(spec, {**SHARED_EXPERT_GGUF_NAMES, **names})
    parts = _beta_and_step(spec)
    for name, source in sources.items():
        part = name.split(".")[2] if name.startswith("layers.") else ""
        if part in parts and name.endswith(".weight"):
            sources[name] = replace(source, grouped=Grouped(spec.recurrent_key_heads, *parts[part]))
    return sources


def _beta_and_step(spec: DecoderSpec) -> dict[str, tuple[int, tuple[tuple[int, int], ...]]]:
    """Return the rows of each key head in in_proj_ba, and which of them are whose."""
    heads = spec.recurrent_heads // spec.recurrent_key_heads
    return {"beta": (2 * heads, ((0, heads),)), "step": (2 * heads, ((heads, 2 * heads),))}
