"""OLMo 3: OLMo 2 with a sliding window in three of four layers. Its GGUF files say "olmo2"."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields, decoder_from_config
from llmos.engine.architectures._config_rope import layered_rope_from_config
from llmos.engine.architectures._windows import all_but_every, num_layers_of, windowed_layers
from llmos.engine.architectures.olmo2 import TRAITS, hf_sources
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    rope, window_theta = layered_rope_from_config(fields, default_theta=500_000.0)
    spec = decoder_from_config(
        config,
        family="olmo3",
        default_eps=1e-5,
        rope=rope,
        windows={},
        qkv_bias=has_bias,
        output_bias=has_bias,
        **TRAITS,
    )
    # A window that is longer than the context hides nothing, but its layers still have unscaled positions.
    return replace(
        spec,
        sliding_window=fields.integer("sliding_window", 4096, high=limits.MAX_POSITIONS),
        windowed_layers=windowed_layers(fields, all_but_every(4, num_layers_of(fields))),
        window_rope_theta=window_theta,
    )
