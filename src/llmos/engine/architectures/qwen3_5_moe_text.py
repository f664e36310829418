"""The language model of Qwen 3.5's mixtures of experts."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import EXPERT_HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields
from llmos.engine.architectures._read_keys import ChangedKeys
from llmos.engine.architectures._recurrent import (
    HARMLESS_DELTA_CONFIG,
    SHARED_EXPERT_GGUF_NAMES,
    delta_fields,
    delta_fields_from_gguf,
    delta_gguf_sources,
)
from llmos.engine.architectures._sources import Source, split_expert_rows
from llmos.engine.architectures.qwen3_5_text import HF_DELTA_NAMES, delta_sources
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "qwen35moe"
LEAVES_OUT_LAST_LAYERS = True
HARMLESS_CONFIG = HARMLESS_DELTA_CONFIG

_HF_NAMES = (
    HF_DELTA_NAMES
    | EXPERT_HF_NAMES
    | {
        "shared_router": "model.layers.{i}.mlp.shared_expert_gate",
        "gate": "model.layers.{i}.mlp.shared_expert.gate_proj",
        "up": "model.layers.{i}.mlp.shared_expert.up_proj",
        "down": "model.layers.{i}.mlp.shared_expert.down_proj",
    }
)


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    inner = {"high": limits.MAX_INTERMEDIATE}
    shared_size = fields.integer("shared_expert_intermediate_size", 512, **inner)
    return decoder_from_config(
        ChangedKeys(config, intermediate_size=shared_size),
        family="qwen3_5_moe_text",
        default_head_dim=256,
        num_experts=fields.integer("num_experts", 256, high=limits.MAX_EXPERTS),
        experts_per_token=fields.integer("num_experts_per_tok", 8, high=limits.MAX_EXPERTS),
        expert_size=fields.integer("moe_intermediate_size", 512, **inner),
        normalizes_experts=True,
        shared_expert_size=shared_size,
        gates_shared_expert=True,
        **delta_fields(fields, head_dim_from_config(fields, 256)),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return delta_sources(spec, _HF_NAMES)


def stacked_hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    experts = "model.layers.{i}.mlp.experts"
    stacks = split_expert_rows(spec, f"{experts}.gate_up_proj", f"{experts}.down_proj")
    return hf_sources(spec) | stacks


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. Converters reorder the heads of recurrent layers so that they take the key heads in turns."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE, experts=True)
    shared_size = fields.integer("expert_shared_feed_forward_length", high=limits.MAX_INTERMEDIATE)
    return decoder_from_gguf(
        ChangedKeys(metadata, **{f"{GGUF_ARCHITECTURE}.feed_forward_length": shared_size}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="qwen3_5_moe_text",
        partial_rotary=True,
        experts=True,
        shared_expert_size=shared_size,
        gates_shared_expert=True,
        tiles_key_heads=True,
        **delta_fields_from_gguf(fields),
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return delta_gguf_sources(spec, SHARED_EXPERT_GGUF_NAMES)
