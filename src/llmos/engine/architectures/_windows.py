"""Reads the layers with a sliding window from config.json: newer configs list each layer's type, older have a rule."""

from collections.abc import Iterable
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields

_KINDS = ("full_attention", "sliding_attention")


def window_fields(window: int | None, layers: Iterable[int], *, num_layers: int, max_positions: int) -> dict[str, Any]:
    """Return the fields sliding_window and windowed_layers of a spec whose `layers` have the window."""
    windowed = tuple(sorted(layers))
    window = limits.window_or_none(window, max_positions) if windowed else None
    if window is None or len(windowed) == num_layers:
        return {"sliding_window": window}
    return {"sliding_window": window, "windowed_layers": windowed}


def windowed_layers(fields: Fields, usual: Iterable[int]) -> tuple[int, ...]:
    """Return the layers with a window by layer_types, `usual` if the config has no such list."""
    kinds, num_layers = fields.get("layer_types"), num_layers_of(fields)
    if kinds is None:
        return tuple(usual)
    if not isinstance(kinds, list) or len(kinds) != num_layers or not all(kind in _KINDS for kind in kinds):
        raise BadModelFile(f"config.json: layer_types must list {num_layers} layers, each {' or '.join(_KINDS)}.")
    return tuple(i for i, kind in enumerate(kinds) if kind == "sliding_attention")


def optional_window_fields(fields: Fields) -> dict[str, Any]:
    """Return the window fields of Qwen: with use_sliding_window, layers from max_window_layers on have the window."""
    num_layers = num_layers_of(fields)
    layers = windowed_layers(fields, range(min(fields.integer("max_window_layers", 28, low=0), num_layers), num_layers))
    if not uses_window(fields):
        return {}
    window = fields.integer("sliding_window", high=limits.MAX_POSITIONS)
    max_positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    return window_fields(window, layers, num_layers=num_layers, max_positions=max_positions)


def uses_window(fields: Fields) -> bool:
    """Return whether use_sliding_window is true and there is a sliding_window."""
    has_window = fields.get("sliding_window") is not None
    return fields.flag("use_sliding_window", False) and has_window


def check_no_windows(fields: Fields) -> None:
    """Raise UnsupportedModel if layer_types gives a layer a window; the family has none."""
    if windowed_layers(fields, ()):
        raise limits.unsupported("layers with a sliding window (layer_types), unlike others of its family")


def all_but_every(interval: int, num_layers: int) -> tuple[int, ...]:
    """Return all layers but the last of every `interval`."""
    return tuple(i for i in range(num_layers) if (i + 1) % interval)


def num_layers_of(fields: Fields) -> int:
    """Return the number of layers."""
    return fields.integer("num_hidden_layers", high=limits.MAX_LAYERS)
