"""Qwen 3.5, run on text: its language model is "qwen3_5_text"."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import qwen3_5_text
from llmos.engine.architectures._text_config import harmless_with_text, text_config
from llmos.engine.architectures.qwen3_5_text import hf_sources
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None
HARMLESS_CONFIG = harmless_with_text(qwen3_5_text.HARMLESS_CONFIG)


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    return qwen3_5_text.spec_from_config(text_config(config, {}))
