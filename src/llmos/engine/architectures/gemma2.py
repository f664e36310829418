"""Gemma 2: norms before and after each sublayer, soft caps, a window in every other layer, a scaled embedding."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import SANDWICH_NORM_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields, gguf_sources, windowed_gguf_layers
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, norms_plus_one, rename
from llmos.engine.architectures._windows import num_layers_of, window_fields, windowed_layers
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "gemma2"
# The activation is in hidden_activation.
HARMLESS_CONFIG = {"hidden_act": ANY}

_27B_LAYERS = 46


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.flag("use_bidirectional_attention", False):
        raise limits.unsupported("bidirectional attention (use_bidirectional_attention)")
    num_layers = num_layers_of(fields)
    has_bias = fields.flag("attention_bias", False)

    def softcap(name: str, usual: float) -> float | None:
        # An absent cap has the default, null means no cap.
        return fields.optional_number(name, low=1e-3, high=1e6) if fields.has(name) else usual

    return decoder_from_config(
        config,
        family="gemma2",
        default_head_dim=256,
        activation_name="hidden_activation",
        default_activation="gelu_pytorch_tanh",
        is_tied=True,
        qkv_bias=has_bias,
        output_bias=has_bias,
        post_norm=True,
        embedding_multiplier=fields.integer("hidden_size", high=limits.MAX_HIDDEN) ** 0.5,
        attention_scale=fields.number("query_pre_attn_scalar", 256, low=1e-3, high=1e6) ** -0.5,
        attention_softcap=softcap("attn_logit_softcapping", 50.0),
        logit_softcap=softcap("final_logit_softcapping", 30.0),
        windows=window_fields(
            fields.integer("sliding_window", 4096, high=limits.MAX_POSITIONS),
            windowed_layers(fields, range(0, num_layers, 2)),
            num_layers=num_layers,
            max_positions=fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS),
        ),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return norms_plus_one(rename(spec, SANDWICH_NORM_NAMES))


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. The scale of the scores isn't in the file: it is 1 / sqrt(head_dim), except in the 27B model."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS)
    hidden_size = fields.integer("embedding_length", high=limits.MAX_HIDDEN)
    head_dim = fields.integer("attention.key_length", 256, high=limits.MAX_HEAD_DIM)
    num_heads = fields.uniform_integer("attention.head_count", high=limits.MAX_HEADS)
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        activation="gelu_tanh",
        post_norm=True,
        embedding_multiplier=hidden_size**0.5,
        attention_scale=(hidden_size / num_heads if num_layers == _27B_LAYERS else head_dim) ** -0.5,
        attention_softcap=fields.number("attn_logit_softcapping", 50.0, low=1e-3, high=1e6),
        logit_softcap=fields.number("final_logit_softcapping", 30.0, low=1e-3, high=1e6),
        **window_fields(
            fields.integer("attention.sliding_window", 4096, high=limits.MAX_POSITIONS),
            windowed_gguf_layers(fields, num_layers, 2),
            num_layers=num_layers,
            max_positions=fields.integer("context_length", high=limits.MAX_POSITIONS),
        ),
    )
