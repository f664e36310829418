"""LFM2: gated short convolutions in most layers, attention with norms over heads in the others."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf, gguf_fields
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._recurrent import recurrent_layers
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.architectures._windows import num_layers_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "lfm2"
HARMLESS_CONFIG: Harmless = {
    "block_dim": ANY, "block_mlp_init_scale": ANY, "block_norm_eps": ANY, "block_out_init_scale": ANY,
    "block_use_swiglu": (True,), "block_use_xavier_init": ANY, "conv_dim": ANY, "conv_dim_out": ANY,
    "conv_use_xavier_init": ANY, "num_heads": ANY, "use_pos_enc": (True,), "block_ffn_dim_multiplier": ANY,
    "block_multiple_of": ANY, "full_attn_idxs": ANY,
}  # fmt: skip

_HF_NAMES = HF_NAMES | {
    "attn_norm": "model.layers.{i}.operator_norm",
    "q_norm": "model.layers.{i}.self_attn.q_layernorm",
    "k_norm": "model.layers.{i}.self_attn.k_layernorm",
    "o": "model.layers.{i}.self_attn.out_proj",
    "mix_in": "model.layers.{i}.conv.in_proj",
    "mix_gate": "model.layers.{i}.conv.in_proj",
    "mix": "model.layers.{i}.conv.in_proj",
    "conv": "model.layers.{i}.conv.conv",
    "mlp_norm": "model.layers.{i}.ffn_norm",
    "gate": "model.layers.{i}.feed_forward.w1",
    "up": "model.layers.{i}.feed_forward.w3",
    "down": "model.layers.{i}.feed_forward.w2",
    "final_norm": "model.embedding_norm",
}
_GGUF_NAMES = GGUF_NAMES | {
    "mix_in": "blk.{i}.shortconv.in_proj",
    "mix_gate": "blk.{i}.shortconv.in_proj",
    "mix": "blk.{i}.shortconv.in_proj",
    "conv": "blk.{i}.shortconv.conv",
    "final_norm": "token_embd_norm",
}
_PARTS = ("mix_in", "mix_gate", "mix")
"""The parts of in_proj, in the order of its rows."""


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.flag("conv_bias", False):
        raise limits.unsupported("biases in its convolution layers (conv_bias)")
    tied = fields.flag("tie_embedding", fields.flag("tie_word_embeddings", True))
    return decoder_from_config(
        ChangedKeys(config, intermediate_size=_inner_size(fields), tie_word_embeddings=tied),
        family="lfm2",
        windows={},
        eps_name="norm_eps",
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_theta=1e6),
        **_traits(
            recurrent_layers(fields, _usual_layers(fields), recurrent=("conv",), attending=("full_attention",)),
            fields.integer("conv_L_cache", 3, low=2, high=16),
        ),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _sources(spec, _HF_NAMES, "model.layers.{i}.conv.out_proj.weight")


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. A layer with a convolution has 0 key-value heads."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    heads = fields.get("attention.head_count_kv")
    if not isinstance(heads, list) or not any(heads) or len(set(heads) - {0}) != 1:
        raise BadModelFile("the GGUF metadata: lfm2.attention.head_count_kv must list 0 or one number for each layer.")
    layers = tuple(i for i, count in enumerate(heads) if not count)
    return decoder_from_gguf(
        ChangedKeys(metadata, **{"lfm2.attention.head_count_kv": max(heads)}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        **_traits(layers, fields.integer("shortconv.l_cache", low=2, high=16)),
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _sources(spec, _GGUF_NAMES, "blk.{i}.shortconv.out_proj.weight")


def _traits(layers: tuple[int, ...], conv_size: int) -> dict[str, Any]:
    return {"qk_norm": "head", "recurrence": "conv", "recurrent_layers": layers, "conv_size": conv_size}


def _inner_size(fields: Fields) -> int:
    """Return the size of the feed-forward layers, by the rule of LFM2's authors."""
    inner = {"high": limits.MAX_INTERMEDIATE}
    size = fields.integer("block_ff_dim", fields.integer("intermediate_size", 12288, **inner), **inner)
    if not fields.flag("block_auto_adjust_ff_dim", True):
        return size
    size = 2 * size // 3
    multiplier = fields.optional_number("block_ffn_dim_multiplier", low=1e-3, high=1e3)
    if multiplier is None and "block_ffn_dim_multiplier" in fields.names():
        return size
    step = fields.integer("block_multiple_of", 256, **inner)
    return -(-int((1.0 if multiplier is None else multiplier) * size) // step) * step


def _usual_layers(fields: Fields) -> tuple[int, ...]:
    attending = fields.get("full_attn_idxs")
    if attending is None:
        return ()
    if not isinstance(attending, list) or not all(type(layer) is int for layer in attending):
        raise BadModelFile("config.json: full_attn_idxs must be a list of layer indexes.")
    return tuple(i for i in range(num_layers_of(fields)) if i not in attending)


def _sources(spec: DecoderSpec, names: Mapping[str, str], output: str) -> dict[str, Source]:
    sources = rename(spec, names)
    size = spec.hidden_size
    for name, source in sources.items():
        if not name.startswith("layers."):
            continue
        layer, part = int(name.split(".")[1]), name.split(".")[2]
        if part in _PARTS:
            first = _PARTS.index(part) * size
            sources[name] = replace(source, rows=slice(first, first + size))
        elif part == "conv":
            sources[name] = replace(source, flatten=True)
        elif part == "o" and spec.is_recurrent_layer(layer):
            sources[name] = Source(output.format(i=layer))
    return sources
