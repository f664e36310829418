"""SmolLM3: Llama, but every fourth layer has no rotary positions (NoPE)."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields, decoder_from_config, head_dim_from_config, hf_sources
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, permuted_gguf_sources
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source
from llmos.engine.architectures._windows import num_layers_of, uses_window, window_fields, windowed_layers
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "smollm3"
HARMLESS_CONFIG = {"max_window_layers": ANY}

_INTERVAL = 4


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    unrotated = _unrotated_layers(fields)
    return decoder_from_config(
        config,
        family="smollm3",
        is_tied=True,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_theta=2e6),
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=fields.flag("mlp_bias", False),
        unrotated_layers=unrotated,
        windows=_windows(fields, unrotated),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. The layers without positions aren't in the file: as in llama.cpp, they are every fourth."""
    num_layers = gguf_fields(metadata, GGUF_ARCHITECTURE).integer("block_count", high=limits.MAX_LAYERS)
    return decoder_from_gguf(
        metadata, tensors, architecture=GGUF_ARCHITECTURE, unrotated_layers=_every(_INTERVAL, num_layers)
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return permuted_gguf_sources(spec)


def _every(interval: int, num_layers: int) -> tuple[int, ...]:
    return tuple(range(interval - 1, num_layers, interval))


def _unrotated_layers(fields: Fields) -> tuple[int, ...]:
    rotated, num_layers = fields.get("no_rope_layers"), num_layers_of(fields)
    interval = fields.integer("no_rope_layer_interval", _INTERVAL, high=limits.MAX_LAYERS)
    if rotated is None:
        return _every(interval, num_layers)
    if not isinstance(rotated, list) or len(rotated) < num_layers or not all(flag in (0, 1) for flag in rotated):
        raise BadModelFile(f"config.json: no_rope_layers must have 1 or 0 for each of {num_layers} layers.")
    return tuple(i for i, flag in enumerate(rotated[:num_layers]) if not flag)


def _windows(fields: Fields, unrotated: tuple[int, ...]) -> dict[str, Any]:
    layers = windowed_layers(fields, unrotated)
    if not uses_window(fields):
        return {}
    return window_fields(
        fields.integer("sliding_window", high=limits.MAX_POSITIONS),
        layers,
        num_layers=num_layers_of(fields),
        max_positions=fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS),
    )
