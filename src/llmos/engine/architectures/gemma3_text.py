"""Gemma 3's language model: norms around each sublayer and over heads, five layers with a window and another rope theta
for each layer without. Models up to 1B are only this; larger ones ("gemma3") also take images.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import (
    SANDWICH_NORM_NAMES,
    config_fields,
    decoder_from_config,
    head_dim_from_config,
)
from llmos.engine.architectures._config_rope import THETA_RANGE, layered_rope_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, gguf_sources, windowed_gguf_layers
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, norms_plus_one, rename
from llmos.engine.architectures._windows import num_layers_of, windowed_layers
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "gemma3"
# The activation is in hidden_activation.
HARMLESS_CONFIG = {"hidden_act": ANY, "_sliding_window_pattern": ANY}

_PATTERN = 6
_27B_LAYERS = 62


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.flag("use_bidirectional_attention", False):
        raise limits.unsupported("bidirectional attention (use_bidirectional_attention)")
    if fields.get("attn_logit_softcapping") is not None:
        raise limits.unsupported("a soft cap on attention scores (attn_logit_softcapping)")
    has_bias = fields.flag("attention_bias", False)
    pattern = fields.integer("sliding_window_pattern", _PATTERN, high=limits.MAX_LAYERS)
    head_dim = head_dim_from_config(fields, 256)
    rope, window_theta = layered_rope_from_config(fields, default_theta=1e6, default_window_theta=10_000.0)
    spec = decoder_from_config(
        config,
        family="gemma3_text",
        default_head_dim=head_dim,
        activation_name="hidden_activation",
        default_activation="gelu_pytorch_tanh",
        is_tied=True,
        rope=rope,
        windows={},
        qkv_bias=has_bias,
        output_bias=has_bias,
        qk_norm="head",
        post_norm=True,
        embedding_multiplier=fields.integer("hidden_size", high=limits.MAX_HIDDEN) ** 0.5,
        attention_scale=fields.number("query_pre_attn_scalar", 256, low=1e-3, high=1e6) ** -0.5,
        logit_softcap=fields.optional_number("final_logit_softcapping", low=1e-3, high=1e6),
    )
    layers = windowed_layers(fields, _windowed(num_layers_of(fields), pattern))
    window = fields.integer("sliding_window", 4096, high=limits.MAX_POSITIONS)
    return _with_windows(spec, window, layers, window_theta)


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return norms_plus_one(rename(spec, SANDWICH_NORM_NAMES))


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. The scale of the scores isn't in the file: it is 1 / sqrt(head_dim), except in the 27B model."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    hidden_size = fields.integer("embedding_length", high=limits.MAX_HIDDEN)
    spec = decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="gemma3_text",
        activation="gelu_tanh",
        qk_norm="head",
        post_norm=True,
        embedding_multiplier=hidden_size**0.5,
        logit_softcap=fields.optional_number("final_logit_softcapping", low=1e-3, high=1e6),
    )
    # Ollama's converter has names of its own.
    local_theta = fields.number("rope.local.freq_base", 10_000.0, **THETA_RANGE)
    scaled_by = hidden_size / spec.num_heads if spec.num_layers == _27B_LAYERS else spec.head_dim
    return _with_windows(
        replace(spec, attention_scale=scaled_by**-0.5),
        fields.integer("attention.sliding_window", 4096, high=limits.MAX_POSITIONS),
        windowed_gguf_layers(fields, spec.num_layers, _PATTERN),
        fields.number("rope.freq_base_swa", local_theta, **THETA_RANGE),
    )


def _windowed(num_layers: int, pattern: int) -> list[int]:
    return [i for i in range(num_layers) if (i + 1) % pattern]


def _with_windows(spec: DecoderSpec, window: int, layers: list[int] | tuple[int, ...], theta: float) -> DecoderSpec:
    # A window that is longer than the context hides nothing, but its layers still use their own theta.
    return replace(spec, sliding_window=window, windowed_layers=tuple(layers), window_rope_theta=theta)
