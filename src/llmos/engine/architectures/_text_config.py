"""Reads the language model's part of the config of a model that also takes images or sound.

The other parts are left out: the engine runs such models on text.
"""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures._harmless_config import HARMLESS
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless

HARMLESS_OUTSIDE: Harmless = dict.fromkeys(
    (
        "vision_config", "audio_config", "image_token_index", "projector_hidden_act", "vision_feature_layer",
        "multimodal_projector_bias", "spatial_merge_size", "mm_tokens_per_image", "boi_token_index", "eoi_token_index",
        "boi_token_id", "eoi_token_id", "vision_feature_select_strategy", "audio_token_id", "boa_token_id",
        "eoa_token_id", "eoa_token_index", "audio_soft_tokens_per_image", "vision_soft_tokens_per_image",
    ),
    ANY,
)  # fmt: skip
"""Keys beside text_config, which are about images and sound."""


def text_config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of the language model. Published configs leave out what equals transformers' defaults."""
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        raise BadModelFile("config.json lacks text_config, which describes the language model.")
    outer = {key: config[key] for key in ("tie_word_embeddings", "quantization_config") if key in config}
    missing = {key: value for key, value in {**defaults, **outer}.items() if key not in text}
    return ChangedKeys(text, **missing)


def harmless_with_text(own: Harmless) -> Harmless:
    """Return the harmless keys of such a config, given those that the language model's family has of its own."""
    within = {f"text_config.{key}": values for key, values in {**HARMLESS, **own}.items()}
    return {**HARMLESS_OUTSIDE, **within}
