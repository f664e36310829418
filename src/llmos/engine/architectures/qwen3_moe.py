"""Qwen 3 with a mixture of many small experts, such as 30B-A3B."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import EXPERT_HF_NAMES, HF_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_sources
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.architectures._windows import num_layers_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "qwen3moe"
HARMLESS_CONFIG = {"max_window_layers": ANY}

_HF_NAMES = HF_NAMES | EXPERT_HF_NAMES


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    window = fields.integer("sliding_window", 4096, high=limits.MAX_POSITIONS)
    # transformers 5 calls them num_local_experts.
    num_experts = fields.integer("num_local_experts", 128, high=limits.MAX_EXPERTS)
    return decoder_from_config(
        config,
        family="qwen3_moe",
        qkv_bias=has_bias,
        output_bias=has_bias,
        qk_norm="head",
        sliding_window=window if fields.flag("use_sliding_window", False) else None,
        num_experts=fields.integer("num_experts", num_experts, high=limits.MAX_EXPERTS),
        experts_per_token=fields.integer("num_experts_per_tok", 8, high=limits.MAX_EXPERTS),
        expert_size=fields.integer("moe_intermediate_size", 768, high=limits.MAX_INTERMEDIATE),
        normalizes_experts=fields.flag("norm_topk_prob", False),
        dense_layers=dense_layers(fields),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _HF_NAMES)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(
        metadata, tensors, architecture=GGUF_ARCHITECTURE, family="qwen3_moe", experts=True, qk_norm="head"
    )


def dense_layers(fields: Fields) -> tuple[int, ...]:
    """Return the layers without experts."""
    dense, step = fields.get("mlp_only_layers"), fields.integer("decoder_sparse_step", 1, high=limits.MAX_LAYERS)
    dense = [] if dense is None else dense
    if not isinstance(dense, list) or not all(type(layer) is int for layer in dense):
        raise BadModelFile("config.json: mlp_only_layers must be a list of layer indexes.")
    return tuple(i for i in range(num_layers_of(fields)) if i in dense or (i + 1) % step)
