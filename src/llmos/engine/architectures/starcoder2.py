"""StarCoder2: Llama with layer norms, biases, a sliding window and a plain feed-forward layer."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_sources
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "starcoder2"

_HF_NAMES = HF_NAMES | {"up": "model.layers.{i}.mlp.c_fc", "down": "model.layers.{i}.mlp.c_proj"}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("use_bias", True)
    return decoder_from_config(
        config,
        family="starcoder2",
        eps_name="norm_epsilon",
        default_eps=1e-5,
        default_activation="gelu_pytorch_tanh",
        is_tied=True,
        sliding_window=fields.integer("sliding_window", 0, low=0, high=limits.MAX_POSITIONS) or None,
        norm="layernorm",
        gated=False,
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=has_bias,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _HF_NAMES)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        norm="layernorm",
        gated=False,
        activation="gelu_tanh",
    )
