"""Reads which layers of a model are recurrent, and the parts of Qwen's gated delta rule."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import GGUF_NAMES
from llmos.engine.architectures._read_keys import ANY, Harmless
from llmos.engine.architectures._sources import Grouped, Source, rename
from llmos.engine.architectures._windows import all_but_every, num_layers_of
from llmos.engine.spec import DecoderSpec

_GGUF_DELTA_NAMES = {
    "q_gate": "blk.{i}.attn_q",
    "mlp_norm": "blk.{i}.post_attention_norm",
    "mix": "blk.{i}.attn_qkv",
    "mix_gate": "blk.{i}.attn_gate",
    "beta": "blk.{i}.ssm_beta",
    "step": "blk.{i}.ssm_alpha",
    "conv": "blk.{i}.ssm_conv1d",
    "decay": "blk.{i}.ssm_a",
    "mix_norm": "blk.{i}.ssm_norm",
    "shared_router": "blk.{i}.ffn_gate_inp_shexp",
}
SHARED_EXPERT_GGUF_NAMES = {
    "gate": "blk.{i}.ffn_gate_shexp",
    "up": "blk.{i}.ffn_up_shexp",
    "down": "blk.{i}.ffn_down_shexp",
}

DELTA_NORM_SUFFIXES = ("attn_norm.weight", "mlp_norm.weight", "final_norm.weight", "q_norm.weight", "k_norm.weight")
"""Norms that Qwen stores as the difference from 1. The one inside a recurrent layer is stored as it is."""


def recurrent_layers(
    fields: Fields, usual: Collection[int], *, recurrent: Collection[str], attending: Collection[str]
) -> tuple[int, ...]:
    """Return the recurrent layers by layer_types, `usual` if the config has no such list."""
    kinds, num_layers = fields.get("layer_types"), num_layers_of(fields)
    if kinds is None:
        return tuple(usual)
    known = [*recurrent, *attending]
    if not isinstance(kinds, list) or len(kinds) != num_layers or not all(kind in known for kind in kinds):
        raise BadModelFile(f"config.json: layer_types must list {num_layers} layers, each {' or '.join(known)}.")
    return tuple(i for i, kind in enumerate(kinds) if kind in recurrent)


def delta_fields_from_gguf(fields: Fields) -> dict[str, Any]:
    """Return the same from GGUF metadata."""
    interval = fields.integer("full_attention_interval", 4, high=limits.MAX_LAYERS)
    num_heads = fields.integer("ssm.time_step_rank", high=limits.MAX_HEADS)
    inner_size = fields.integer("ssm.inner_size", high=limits.MAX_INTERMEDIATE)
    if inner_size % num_heads:
        raise BadModelFile("the GGUF metadata: ssm.inner_size must be a multiple of ssm.time_step_rank.")
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS) - num_predicting_layers(fields)
    return {
        "num_layers": num_layers,
        "qk_norm": "head",
        "attention_gate": True,
        "recurrence": "delta",
        "recurrent_layers": all_but_every(interval, num_layers),
        "conv_size": fields.integer("ssm.conv_kernel", low=2, high=16),
        "recurrent_heads": num_heads,
        "recurrent_key_heads": fields.integer("ssm.group_count", high=limits.MAX_HEADS),
        "recurrent_key_size": fields.integer("ssm.state_size", high=limits.MAX_HEAD_DIM),
        "recurrent_value_size": inner_size // num_heads,
    }


def num_predicting_layers(fields: Fields) -> int:
    """Return how many of a GGUF file's last layers only predict further tokens. The engine leaves them out."""
    return fields.integer("nextn_predict_layers", 0, low=0, high=limits.MAX_LAYERS)


def delta_gguf_sources(spec: DecoderSpec, extra: Mapping[str, str]) -> dict[str, Source]:
    """Return the sources for GGUF's names of Qwen's gated attention and gated delta rule, and these names."""
    sources = rename(spec, {**GGUF_NAMES, **_GGUF_DELTA_NAMES, **extra})
    for name, source in sources.items():
        layer, part = (int(name.split(".")[1]), name.split(".")[2]) if name.startswith("layers.") else (-1, "")
        if part in ("q", "q_gate"):
            first = spec.head_dim if part == "q_gate" else 0
            grouped = Grouped(spec.num_heads, 2 * spec.head_dim, ((first, first + spec.head_dim),))
            sources[name] = replace(source, grouped=grouped)
        elif part == "o" and spec.is_recurrent_layer(layer):
            sources[name] = Source(f"blk.{layer}.ssm_out.weight")
        elif part in ("conv", "shared_router"):
            sources[name] = replace(source, flatten=True)
        elif part == "decay":
            sources[name] = Source(f"blk.{layer}.ssm_a")
        elif name.endswith(".step.bias"):
            sources[name] = Source(f"blk.{layer}.ssm_dt.bias")
    return sources


def delta_fields(fields: Fields, head_dim: int) -> dict[str, Any]:
    """Return the fields of a spec for Qwen's gated attention and gated delta rule (Qwen3-Next, Qwen 3.5)."""
    interval = fields.integer("full_attention_interval", 4, high=limits.MAX_LAYERS)
    has_bias = fields.flag("attention_bias", False)
    size = {"high": limits.MAX_HEAD_DIM}
    return {
        "windows": {},
        "rope": rope_from_config(fields, head_dim=head_dim, default_share=0.25),
        "qkv_bias": has_bias,
        "output_bias": has_bias,
        "qk_norm": "head",
        "attention_gate": True,
        "recurrence": "delta",
        "recurrent_layers": recurrent_layers(
            fields,
            all_but_every(interval, num_layers_of(fields)),
            recurrent=("linear_attention",),
            attending=("full_attention",),
        ),
        "conv_size": fields.integer("linear_conv_kernel_dim", 4, low=2, high=16),
        "recurrent_heads": fields.integer("linear_num_value_heads", 32, high=limits.MAX_HEADS),
        "recurrent_key_heads": fields.integer("linear_num_key_heads", 16, high=limits.MAX_HEADS),
        "recurrent_key_size": fields.integer("linear_key_head_dim", 128, **size),
        "recurrent_value_size": fields.integer("linear_value_head_dim", 128, **size),
    }


HARMLESS_DELTA_CONFIG: Harmless = {
    "full_attention_interval": ANY, "mtp_num_hidden_layers": ANY, "mtp_use_dedicated_embeddings": ANY,
    "mlp_only_layers": ([],), "attn_output_gate": (True,), "mamba_ssm_dtype": ANY, "norm_topk_prob": (True,),
    "decoder_sparse_step": (1,), "intermediate_size": ANY, "rope_parameters.mrope_section": ANY,
    "rope_parameters.mrope_interleaved": ANY,
}  # fmt: skip
"""Keys of Qwen's configs: the layers are listed, and layers that predict further tokens are left out."""
