"""Ministral 3: Mistral with YaRN, and queries that grow with their position."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields, decoder_from_config, head_dim_from_config, hf_sources
from llmos.engine.architectures._config_rope import rope_from_config, rope_section
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, permuted_gguf_sources
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._rope import yarn_attention_factor
from llmos.engine.architectures._sources import Source
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "mistral3"
HARMLESS_CONFIG: Harmless = {f"{name}.max_position_embeddings": ANY for name in ("rope_parameters", "rope_scaling")}

_USUAL_ROPE = {
    "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16384,
    "beta_fast": 32.0, "beta_slow": 1.0, "mscale_all_dim": 1.0, "mscale": 1.0, "llama_4_scaling_beta": 0.1,
}  # fmt: skip


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    if config.get("rope_parameters") is None and config.get("rope_scaling") is None:
        config = ChangedKeys(config, rope_parameters=_USUAL_ROPE)
    fields = config_fields(config)
    spec = decoder_from_config(
        config,
        family="ministral3",
        default_head_dim=128,
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields, 128), default_theta=1e6),
        sliding_window=fields.integer("sliding_window", 0, low=0, high=limits.MAX_POSITIONS) or None,
    )
    rope = rope_section(fields)
    growth = None if rope is None else rope.optional_number("llama_4_scaling_beta", low=0.0, high=1e6)
    if rope is None or not growth:
        return spec
    positions = rope.integer("original_max_position_embeddings", high=limits.MAX_POSITIONS)
    return replace(spec, query_growth=growth, query_growth_positions=positions)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec of a Ministral 3, or of the language model of a Mistral Small 3.1 and later."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    growth = fields.number("attention.temperature_scale", 0.0, low=0.0, high=1e6)
    multiplier = fields.number("rope.scaling.yarn_log_multiplier", 0.0, low=0.0, high=1e6)
    spec = decoder_from_gguf(
        ChangedKeys(metadata, **{f"{GGUF_ARCHITECTURE}.rope.scaling.yarn_log_multiplier": 0.0}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="ministral3",
    )
    if spec.rope_scaling == "yarn" and multiplier:
        # The quotient of two factors, of which the first is plain YaRN's.
        factor = yarn_attention_factor(spec.rope_factor) / yarn_attention_factor(spec.rope_factor, multiplier)
        spec = replace(spec, rope_attention_factor=factor)
    if not growth:
        return spec
    positions = fields.integer("rope.scaling.original_context_length", high=limits.MAX_POSITIONS)
    return replace(spec, query_growth=growth, query_growth_positions=positions)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return permuted_gguf_sources(spec)
