"""The sliding windows of Qwen's configs: they may differ between layers, while a DecoderSpec has one window or none."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields

_KINDS = ("full_attention", "sliding_attention")


def uniform_window(config: Mapping[str, Any]) -> int | None:
    """Return the window of all layers, None for full attention. Raises UnsupportedModel where layers differ."""
    fields = config_fields(config)
    if not fields.flag("use_sliding_window", False) or fields.get("sliding_window") is None:
        return None
    window = fields.integer("sliding_window", high=limits.MAX_POSITIONS)
    num_layers = fields.integer("num_hidden_layers", high=limits.MAX_LAYERS)
    kinds = config.get("layer_types")
    if kinds is None:
        num_full = min(fields.integer("max_window_layers", 28, low=0), num_layers)
        kinds = ["full_attention"] * num_full + ["sliding_attention"] * (num_layers - num_full)
    if not isinstance(kinds, list) or len(kinds) != num_layers or not all(kind in _KINDS for kind in kinds):
        raise BadModelFile(f"config.json: layer_types must name {num_layers} layers, each {' or '.join(_KINDS)}.")
    if len(set(kinds)) > 1:
        raise limits.refuse_parts("a sliding window in some layers and full attention in others")
    return window if kinds[0] == "sliding_attention" else None
