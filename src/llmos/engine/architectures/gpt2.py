"""GPT-2: learned positions, layer norms and biases everywhere, one fused projection for q, k and v."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _gguf
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import ACTIVATIONS, config_fields
from llmos.engine.architectures._heads import check_head
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, rename, split_qkv
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "gpt2"
HF_PREFIX = "transformer."
HARMLESS_CONFIG = {
    "n_ctx": ANY,
    "reorder_and_upcast_attn": ANY,
    "_num_labels": ANY,
    "n_special": ANY,
    "predict_special_tokens": ANY,
    # Pruned versions have the sizes by the names of other families, too.
    "num_hidden_layers": ANY,
    "intermediate_size": ANY,
}

_HF_NAMES = {
    "embed": "transformer.wte",
    "positions": "transformer.wpe",
    "attn_norm": "transformer.h.{i}.ln_1",
    "o": "transformer.h.{i}.attn.c_proj",
    "mlp_norm": "transformer.h.{i}.ln_2",
    "up": "transformer.h.{i}.mlp.c_fc",
    "down": "transformer.h.{i}.mlp.c_proj",
    "final_norm": "transformer.ln_f",
    "head": "lm_head",
}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    check_head(fields)
    for name, usual in {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    }.items():
        if fields.flag(name, usual) != usual:
            raise limits.unsupported(f"{name} set to {str(not usual).lower()}")
    hidden_size = fields.integer("n_embd", high=limits.MAX_HIDDEN)
    return _spec(
        vocab_size=fields.integer("vocab_size", high=limits.MAX_VOCAB),
        hidden_size=hidden_size,
        num_layers=fields.integer("n_layer", high=limits.MAX_LAYERS),
        num_heads=fields.integer("n_head", high=limits.MAX_HEADS),
        intermediate_size=fields.integer("n_inner", 4 * hidden_size, high=limits.MAX_INTERMEDIATE),
        max_positions=fields.integer("n_positions", high=limits.MAX_POSITIONS),
        norm_eps=fields.number("layer_norm_epsilon", 1e-5, low=0.0, high=1.0),
        activation=ACTIVATIONS[fields.string("activation_function", "gelu_new", known=ACTIVATIONS)],
        tied_head=fields.flag("tie_word_embeddings", True),
    )


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = _gguf.gguf_fields(metadata, GGUF_ARCHITECTURE)
    num_heads = fields.uniform_integer("attention.head_count", high=limits.MAX_HEADS)
    if fields.uniform_integer("attention.head_count_kv", num_heads, high=limits.MAX_HEADS) != num_heads:
        raise BadModelFile("the GGUF metadata: GPT-2 has the same number of key-value heads and attention heads.")
    return _spec(
        vocab_size=_gguf.vocab_size_of(metadata, tensors),
        hidden_size=fields.integer("embedding_length", high=limits.MAX_HIDDEN),
        num_layers=fields.integer("block_count", high=limits.MAX_LAYERS),
        num_heads=num_heads,
        intermediate_size=fields.uniform_integer("feed_forward_length", high=limits.MAX_INTERMEDIATE),
        max_positions=fields.integer("context_length", high=limits.MAX_POSITIONS),
        norm_eps=fields.number("attention.layer_norm_epsilon", low=0.0, high=1.0),
        activation="gelu_tanh",
        tied_head="output.weight" not in tensors,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources. GPT-2's linear layers are `Conv1D`, which stores weights as [in, out]."""
    sources = rename(spec, _HF_NAMES)
    for name, source in sources.items():
        if name.endswith((".o.weight", ".up.weight", ".down.weight")):
            sources[name] = replace(source, transpose=True)
    return sources | split_qkv(spec, "transformer.h.{i}.attn.c_attn", transpose_weight=True)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return _gguf.gguf_sources(spec) | split_qkv(spec, "blk.{i}.attn_qkv")


def _spec(*, hidden_size: int, num_heads: int, **values: Any) -> DecoderSpec:
    spec = DecoderSpec(
        family="gpt2",
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=limits.head_dim_of(hidden_size, num_heads),
        norm="layernorm",
        gated=False,
        learned_positions=True,
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        **values,
    )
    return limits.validated(spec)
