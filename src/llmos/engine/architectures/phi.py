"""Phi 1, 1.5 and 2: layer norms, biases also on the head, attention and feed-forward layer side by side, a part of each
head rotated.
"""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "phi2"

_HF_NAMES = HF_NAMES | {
    "o": "model.layers.{i}.self_attn.dense",
    "mlp_norm": "model.layers.{i}.input_layernorm",  # both sublayers read the same norm
    "up": "model.layers.{i}.mlp.fc1",
    "down": "model.layers.{i}.mlp.fc2",
    "final_norm": "model.final_layernorm",
}
_TRAITS: dict[str, Any] = {"norm": "layernorm", "gated": False, "parallel_residual": True}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.flag("qk_layernorm", False):
        raise limits.unsupported("layer norms with biases over queries and keys (qk_layernorm)")
    return decoder_from_config(
        config,
        family="phi",
        eps_name="layer_norm_eps",
        default_eps=1e-5,
        default_activation="gelu_new",
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_share=0.5),
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        head_bias=True,
        **_TRAITS,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _HF_NAMES)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="phi",
        partial_rotary=True,
        activation="gelu_tanh",
        **_TRAITS,
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, GGUF_NAMES | {"mlp_norm": GGUF_NAMES["attn_norm"]})
