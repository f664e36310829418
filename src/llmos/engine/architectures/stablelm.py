"""StableLM 3B and 2: layer norms, a quarter of each head rotated; the 12B is parallel and has a norm for each head."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "stablelm"
HARMLESS_CONFIG = {"rope_pct": (0.25,), "norm_eps": ANY}
# It isn't reliable; see spec_from_gguf().
HARMLESS_GGUF = {"use_parallel_residual": ANY}

_HF_NAMES = HF_NAMES | {
    "q_norm.{n}": "model.layers.{i}.self_attn.q_layernorm.norms.{n}",
    "k_norm.{n}": "model.layers.{i}.self_attn.k_layernorm.norms.{n}",
}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    return decoder_from_config(
        config,
        family="stablelm",
        eps_name="layer_norm_eps",
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_share=0.25),
        norm="layernorm",
        parallel_residual=fields.flag("use_parallel_residual", False),
        qkv_bias=fields.flag("use_qkv_bias", False),
        qk_norm="each_head" if fields.flag("qk_layernorm", False) else None,
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        norm="layernorm",
        partial_rotary=True,
        # use_parallel_residual isn't reliable in GGUF; parallel models have one norm instead of two.
        parallel_residual="blk.0.ffn_norm.weight" not in tensors,
        qk_norm="each_head" if "blk.0.attn_q_norm.weight" in tensors else None,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _with_shared_norm(spec, _HF_NAMES))


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _with_shared_norm(spec, GGUF_NAMES))


def _with_shared_norm(spec: DecoderSpec, names: Mapping[str, str]) -> dict[str, str]:
    """Return the names. In parallel models, attention and the feed-forward layer share one norm."""
    return {**names, "mlp_norm": names["attn_norm" if spec.parallel_residual else "mlp_norm"]}
