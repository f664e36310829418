"""Mistral Small 3.1 and later and Ministral 3, run on text: the language model is "mistral" or "ministral3"."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import ministral3, mistral
from llmos.engine.architectures._config import hf_sources
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._text_config import harmless_with_text, text_config
from llmos.engine.spec import DecoderSpec

__all__ = ["GGUF_ARCHITECTURE", "hf_sources", "spec_from_config"]

GGUF_ARCHITECTURE = None
HARMLESS_CONFIG = harmless_with_text(ministral3.HARMLESS_CONFIG)

_LANGUAGE_MODELS = {"mistral": mistral, "ministral3": ministral3}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    text = text_config(config, {})
    kind = Fields(text, where="config.json: text_config").string("model_type", "mistral", known=_LANGUAGE_MODELS)
    spec: DecoderSpec = _LANGUAGE_MODELS[kind].spec_from_config(text)
    return spec
