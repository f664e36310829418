"""EXAONE 4: norms after each sublayer and over heads; the 32B has a window in three of four layers, and no rotary
positions in the others.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields, decoder_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, gguf_sources, windowed_gguf_layers
from llmos.engine.architectures._windows import (
    all_but_every,
    num_layers_of,
    window_fields,
    windowed_layers,
)
from llmos.engine.architectures.olmo2 import hf_sources
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "exaone4"

_PATTERN = 4
_TRAITS: dict[str, Any] = {"pre_norm": False, "post_norm": True, "qk_norm": "head"}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    spec = decoder_from_config(config, family="exaone4", default_eps=1e-5, windows={}, **_TRAITS)
    # An absent window is 4096, null means no window.
    window = fields.integer("sliding_window", 0, low=0, high=limits.MAX_POSITIONS)
    if "sliding_window" not in config:
        window = 4096
    pattern = _pattern(fields)
    layers = windowed_layers(fields, all_but_every(pattern, num_layers_of(fields)) if pattern else ())
    if not window:
        return spec
    return _with_windows(spec, window, layers)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    spec = decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, **_TRAITS)
    window = fields.integer("attention.sliding_window", 0, low=0, high=limits.MAX_POSITIONS)
    layers = windowed_gguf_layers(fields, spec.num_layers, _PATTERN)
    return _with_windows(spec, window, layers) if window else spec


def _pattern(fields: Any) -> int:
    """Return how many layers have one without a window. Older configs spell it out: LLLG."""
    letters = fields.get("sliding_window_pattern")
    if isinstance(letters, str) and letters == "L" * (len(letters) - 1) + "G":
        return len(letters)
    return int(fields.integer("sliding_window_pattern", _PATTERN, low=0, high=limits.MAX_LAYERS))


def _with_windows(spec: DecoderSpec, window: int, layers: tuple[int, ...]) -> DecoderSpec:
    unrotated = tuple(i for i in range(spec.num_layers) if i not in layers)
    windows = window_fields(window, layers, num_layers=spec.num_layers, max_positions=spec.max_positions)
    return replace(spec, unrotated_layers=unrotated, **({"windowed_layers": None} | windows))
