"""XLM-RoBERTa: RoBERTa with another vocabulary."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._encoder import encoder_from_config
from llmos.engine.architectures.roberta import (
    GGUF_ARCHITECTURE,
    HARMLESS_CONFIG,
    HF_PREFIX,
    IS_ENCODER,
    SCORE_NAMES,
    hf_sources,
    score_head,
)
from llmos.engine.encoder_spec import EncoderSpec

__all__ = [
    "GGUF_ARCHITECTURE",
    "HARMLESS_CONFIG",
    "HF_PREFIX",
    "IS_ENCODER",
    "SCORE_NAMES",
    "hf_sources",
    "score_head",
    "spec_from_config",
]


def spec_from_config(config: Mapping[str, Any]) -> EncoderSpec:
    return encoder_from_config(config, family="xlm_roberta", pads_positions=True)
