"""Hunyuan 1, the dense models: Llama with a norm over each query and key head, after their rotation."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_sources
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = ["GGUF_ARCHITECTURE", "gguf_sources", "hf_sources", "spec_from_config", "spec_from_gguf"]

GGUF_ARCHITECTURE = "hunyuan-dense"
_SECTIONS = ("rope_parameters", "rope_scaling")
HARMLESS_CONFIG: Harmless = {
    "add_classification_head": (False,), "class_num": ANY, "cla_share_factor": ANY, "dense_list": ANY,
    "eod_token_id": ANY,
    "im_end_id": ANY, "im_newline_id": ANY, "im_start_id": ANY, "image_token_id": ANY, "mask_init_id": ANY,
    "max_position_embeddings": ANY, "norm_type": ("hf_rms", "rms"), "num_media_embeds": ANY, "org_vocab_size": ANY,
    "pool_type": ANY, "position_embedding_xdrope": (False,), "sep_id": ANY, "text_end_id": ANY, "text_start_id": ANY,
    "use_cla": (False,), "use_qk_norm": (True,), "use_rotary_pos_emb": (True,), "attention_head_dim": ANY,
    **{f"{name}.{key}": ANY for name in _SECTIONS for key in ("beta_fast", "beta_slow", "mscale", "mscale_all_dim")},
}  # fmt: skip
""""rope_scaling" has values of YaRN, which its kind doesn't use."""

_HF_NAMES = HF_NAMES | {
    "q_norm": "model.layers.{i}.self_attn.query_layernorm",
    "k_norm": "model.layers.{i}.self_attn.key_layernorm",
}
_TRAITS: dict[str, Any] = {"qk_norm": "head", "norms_rotated_heads": True}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    return decoder_from_config(
        config,
        family="hunyuan_v1_dense",
        default_eps=1e-5,
        rope=_rope(config, fields),
        qkv_bias=has_bias,
        output_bias=has_bias,
        **_TRAITS,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _HF_NAMES)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. Converters write the stretched theta."""
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, family="hunyuan_v1_dense", **_TRAITS)


def _rope(config: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return the rope fields. "dynamic" with an alpha only stretches theta, whatever the context length."""
    head_dim = head_dim_from_config(fields)
    name = "rope_parameters" if fields.get("rope_parameters") is not None else "rope_scaling"
    scaling = fields.section(name)
    alpha = None if scaling is None else scaling.optional_number("alpha", low=0.0, high=1e6)
    if scaling is None or not alpha or scaling.string("rope_type", scaling.string("type", "default")) != "dynamic":
        return rope_from_config(fields, head_dim=head_dim)
    rope = rope_from_config(
        config_fields(ChangedKeys(config, **{name: ChangedKeys(config[name], rope_type="default")})), head_dim=head_dim
    )
    return rope | {"rope_theta": rope["rope_theta"] * alpha ** (head_dim / (head_dim - 2))}
