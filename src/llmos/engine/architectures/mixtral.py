"""Mixtral: Mistral with a mixture of experts. Its GGUF files say "llama"."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec

GGUF_ARCHITECTURE = None

_HF_NAMES = HF_NAMES | {
    "router": "model.layers.{i}.block_sparse_moe.gate",
    "gate.{n}": "model.layers.{i}.block_sparse_moe.experts.{n}.w1",
    "up.{n}": "model.layers.{i}.block_sparse_moe.experts.{n}.w3",
    "down.{n}": "model.layers.{i}.block_sparse_moe.experts.{n}.w2",
}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    return decoder_from_config(
        config,
        family="mixtral",
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_theta=1e6),
        sliding_window=fields.integer("sliding_window", 0, low=0, high=limits.MAX_POSITIONS) or None,
        num_experts=fields.integer("num_local_experts", 8, high=limits.MAX_EXPERTS),
        experts_per_token=fields.integer("num_experts_per_tok", 2, high=limits.MAX_EXPERTS),
        expert_size=fields.integer("intermediate_size", high=limits.MAX_INTERMEDIATE),
        normalizes_experts=True,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _HF_NAMES)
