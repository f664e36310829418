"""OLMo 2: norms after attention and the feed-forward layer instead of before, and one over all heads of q and of k.

GGUF files of OLMo 3 say "olmo2", too: three of four layers have a sliding window, and positions that are not scaled.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._config_rope import THETA_RANGE
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, gguf_sources, windowed_gguf_layers
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "olmo2"
_WINDOW_PATTERN = 4

_HF_NAMES = HF_NAMES | {
    "attn_post_norm": "model.layers.{i}.post_attention_layernorm",
    "mlp_post_norm": "model.layers.{i}.post_feedforward_layernorm",
}
TRAITS: dict[str, Any] = {"pre_norm": False, "post_norm": True, "qk_norm": "whole"}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    has_bias = config_fields(config).flag("attention_bias", False)
    return decoder_from_config(
        config, family="olmo2", default_eps=1e-5, qkv_bias=has_bias, output_bias=has_bias, **TRAITS
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _HF_NAMES)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    spec = decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, **TRAITS)
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    window = fields.integer("attention.sliding_window", 0, low=0, high=limits.MAX_POSITIONS)
    theta = fields.number("rope.freq_base_swa", spec.rope_theta, **THETA_RANGE)
    if not window:
        return spec
    # A window that is longer than the context hides nothing, but its layers still use unscaled positions.
    layers = windowed_gguf_layers(fields, spec.num_layers, _WINDOW_PATTERN)
    return replace(spec, sliding_window=window, windowed_layers=layers, window_rope_theta=theta)
