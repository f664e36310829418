"""Granite 3: Llama with scaling factors for the embedding, the residuals, the attention scores and the logits."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, permuted_gguf_sources
from llmos.engine.architectures._sources import Source
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "granite"

HF_SCALES = ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling")
GGUF_SCALES = ("embedding_scale", "residual_scale", "attention.scale", "logit_scale")


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    return decoder_from_config(
        config,
        family="granite",
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=fields.flag("mlp_bias", False),
        **scales(fields, HF_SCALES),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    factors = scales(gguf_fields(metadata, GGUF_ARCHITECTURE), GGUF_SCALES)
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, **factors)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return permuted_gguf_sources(spec)


def scales(fields: Fields, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the scaling factors of a spec, which have these names in the file."""
    embedding, residual, attention, logits = (fields.number(name, 1.0, low=1e-6, high=1e6) for name in names)
    return {
        "embedding_multiplier": embedding,
        "residual_multiplier": residual,
        "attention_scale": attention,
        "logit_multiplier": 1.0 / logits,  # the file has a divisor
    }
