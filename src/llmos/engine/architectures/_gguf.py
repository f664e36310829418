"""Reads GGUF metadata of Llama-like models."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf_rope import rope_from_gguf
from llmos.engine.architectures._sources import Source, half_split_heads, rename
from llmos.engine.architectures._windows import window_fields
from llmos.engine.spec import DecoderSpec, Norm
from llmos.engine.tensors import RawTensor

GGUF_NAMES = {
    "embed": "token_embd",
    "positions": "position_embd",
    "attn_norm": "blk.{i}.attn_norm",
    "q": "blk.{i}.attn_q",
    "k": "blk.{i}.attn_k",
    "v": "blk.{i}.attn_v",
    "q_norm": "blk.{i}.attn_q_norm",
    "k_norm": "blk.{i}.attn_k_norm",
    "q_norm.{n}": "blk.{i}.attn_q_norm",
    "k_norm.{n}": "blk.{i}.attn_k_norm",
    "o": "blk.{i}.attn_output",
    "attn_post_norm": "blk.{i}.post_attention_norm",
    "mlp_norm": "blk.{i}.ffn_norm",
    "gate": "blk.{i}.ffn_gate",
    "up": "blk.{i}.ffn_up",
    "down": "blk.{i}.ffn_down",
    "router": "blk.{i}.ffn_gate_inp",
    "gate.{n}": "blk.{i}.ffn_gate_exps",
    "up.{n}": "blk.{i}.ffn_up_exps",
    "down.{n}": "blk.{i}.ffn_down_exps",
    "mlp_post_norm": "blk.{i}.post_ffw_norm",
    "final_norm": "output_norm",
    "head": "output",
}

_EPS_NAMES: dict[Norm, str] = {
    "rmsnorm": "attention.layer_norm_rms_epsilon",
    "layernorm": "attention.layer_norm_epsilon",
}


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources for files with GGUF's usual tensor names."""
    return rename(spec, GGUF_NAMES)


def permuted_gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources for files in which q and k have their rotary pairs interleaved (Llama and a few others)."""
    return half_split_heads(spec, gguf_sources(spec))


def gguf_fields(metadata: Mapping[str, Any], architecture: str, *, experts: bool = False) -> Fields:
    """Return the fields `{architecture}.*`. Raises UnsupportedModel for features that a spec can't describe.

    `experts`: the family may be a mixture of experts.
    """
    fields = Fields(metadata, where="the GGUF metadata", prefix=f"{architecture}.")
    if fields.integer("expert_count", 0, low=0) and not experts:
        raise limits.unsupported("a mixture of experts")
    if not fields.flag("attention.causal", True):
        raise limits.unsupported("bidirectional attention (it embeds texts)")
    return fields


def encoder_fields_from_gguf(metadata: Mapping[str, Any], architecture: str) -> Fields:
    """Return the fields of a bidirectional model. Raises UnsupportedModel for a causal one."""
    fields = Fields(metadata, where="the GGUF metadata", prefix=f"{architecture}.")
    if fields.flag("attention.causal", False):
        raise limits.unsupported("an encoder with causal attention")
    return fields


def encoder_base_from_gguf(
    metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor], fields: Fields
) -> dict[str, Any]:
    """Return the fields of a spec that all bidirectional models with rotary positions have."""
    hidden_size = fields.integer("embedding_length", high=limits.MAX_HIDDEN)
    num_heads = fields.uniform_integer("attention.head_count", high=limits.MAX_HEADS)
    if fields.uniform_integer("attention.head_count_kv", num_heads, high=limits.MAX_HEADS) != num_heads:
        raise limits.unsupported("an encoder with fewer key heads than query heads")
    for name in ("attention.key_length", "attention.value_length"):
        if fields.integer(name, hidden_size // num_heads) != hidden_size // num_heads:
            raise limits.unsupported(f"an unusual {name}")
    return {
        "vocab_size": vocab_size_of(metadata, tensors),
        "hidden_size": hidden_size,
        "num_layers": fields.integer("block_count", high=limits.MAX_LAYERS),
        "num_heads": num_heads,
        "num_kv_heads": num_heads,
        "head_dim": limits.head_dim_of(hidden_size, num_heads),
        "intermediate_size": fields.uniform_integer("feed_forward_length", high=limits.MAX_INTERMEDIATE),
        "max_positions": fields.integer("context_length", high=limits.MAX_POSITIONS),
        "norm": "layernorm",
        "norm_eps": fields.number("attention.layer_norm_epsilon", low=0.0, high=1.0),
        "embed_norm": True,
        "is_causal": False,
        "tied_head": True,
    }


def vocab_size_of(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> int:
    """Return the number of rows of the embedding. Raises BadModelFile if the tokenizer has more tokens."""
    if "token_embd.weight" not in tensors:
        raise BadModelFile("The file has no tensor token_embd.weight, so it isn't a language model.")
    rows = tensors["token_embd.weight"].shape[0]
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(tokens) > rows:
        raise BadModelFile(f"The vocabulary has {len(tokens):,} tokens, but token_embd.weight only {rows:,} rows.")
    if not 1 <= rows <= limits.MAX_VOCAB:
        raise BadModelFile(f"token_embd.weight has {rows:,} rows; a vocabulary has 1 to {limits.MAX_VOCAB:,} tokens.")
    return rows


def decoder_from_gguf(
    metadata: Mapping[str, Any],
    tensors: Mapping[str, RawTensor],
    *,
    architecture: str,
    family: str | None = None,
    norm: Norm = "rmsnorm",
    partial_rotary: bool = False,
    window_pattern: int = 0,
    experts: bool = False,
    rope: Mapping[str, Any] | None = None,
    **traits: Any,
) -> DecoderSpec:
    """Return the spec of GGUF metadata. Biases and a tied head are detected from the tensors.

    `family`: if its name differs from the architecture's. `partial_rotary`: the family may rotate a part of each head.
    `window_pattern`: every so many layers one has no sliding window, if the file doesn't say which; 0: all have it.
    `experts`: the family may be a mixture of experts. `rope`: the rope fields, if other rules give them. `traits`:
    fields of DecoderSpec that differ from Llama; they take precedence over the metadata.
    """
    fields = gguf_fields(metadata, architecture, experts=experts)
    hidden_size = fields.integer("embedding_length", high=limits.MAX_HIDDEN)
    num_heads = fields.uniform_integer("attention.head_count", high=limits.MAX_HEADS)
    max_positions = fields.integer("context_length", high=limits.MAX_POSITIONS)
    head_dim = fields.integer("attention.key_length", 0, low=0, high=limits.MAX_HEAD_DIM)
    head_dim = head_dim or limits.head_dim_of(hidden_size, num_heads)
    if fields.integer("attention.value_length", head_dim) != head_dim:
        raise limits.unsupported("values of another size than keys")
    if rope is None:
        rope = rope_from_gguf(fields, tensors, head_dim)
        if rope["rotary_dim"] is not None and not partial_rotary:
            raise limits.unsupported("rotary positions on a part of each head")
    window = fields.integer("attention.sliding_window", 0, low=0, high=limits.MAX_POSITIONS)
    if fields.integer("expert_count", 0, low=0):
        traits = experts_from_gguf(fields) | traits
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS)
    layers = windowed_gguf_layers(fields, num_layers, window_pattern)
    values: dict[str, Any] = {
        "family": family or architecture,
        "vocab_size": vocab_size_of(metadata, tensors),
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "num_kv_heads": fields.uniform_integer("attention.head_count_kv", num_heads, high=limits.MAX_HEADS),
        "head_dim": head_dim,
        "intermediate_size": fields.uniform_integer("feed_forward_length", high=limits.MAX_INTERMEDIATE),
        "max_positions": max_positions,
        "norm": norm,
        "norm_eps": fields.number(_EPS_NAMES[norm], low=0.0, high=1.0),
        "qkv_bias": "blk.0.attn_q.bias" in tensors or "blk.0.attn_qkv.bias" in tensors,
        "output_bias": "blk.0.attn_output.bias" in tensors,
        "mlp_bias": "blk.0.ffn_down.bias" in tensors,
        "head_bias": "output.bias" in tensors,
        "tied_head": "output.weight" not in tensors,
        **window_fields(window or None, layers, num_layers=num_layers, max_positions=max_positions),
    }
    spec = DecoderSpec(**(values | dict(rope) | traits))
    return limits.validated(spec)


def integers_of_layers(fields: Fields, name: str, num_layers: int) -> list[int]:
    """Return a value of each layer. A file may have one for all of them."""
    value = fields.get(name)
    values = value if isinstance(value, list) else [value] * num_layers
    if len(values) != num_layers:
        raise BadModelFile(f"the GGUF metadata: {name} must have a number for each of {num_layers} layers.")
    return [Fields({name: each}, where="the GGUF metadata").integer(name) for each in values]


def windowed_gguf_layers(fields: Fields, num_layers: int, default_pattern: int) -> tuple[int, ...]:
    """Return the layers with a sliding window: attention.sliding_window_pattern lists them, or gives the distance of
    those without one; 0 means that all have it."""
    pattern = fields.get("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        if len(pattern) != num_layers or not all(flag in (0, 1) for flag in pattern):
            raise BadModelFile(
                f"the GGUF metadata: attention.sliding_window_pattern must have true or false for each of {num_layers} "
                "layers."
            )
        return tuple(i for i, flag in enumerate(pattern) if flag)
    pattern = fields.integer("attention.sliding_window_pattern", default_pattern, low=0, high=limits.MAX_LAYERS)
    return tuple(i for i in range(num_layers) if not pattern or (i + 1) % pattern)


def experts_from_gguf(fields: Fields) -> dict[str, Any]:
    """Return the fields of a spec for a mixture of experts. llama.cpp normalizes the expert weights in all of them."""
    if fields.integer("expert_gating_func", 1, low=0) not in (0, 1):  # 1: softmax; absent in older files
        raise limits.unsupported("experts that aren't chosen by a softmax")
    for name in ("expert_shared_count", "expert_group_count", "expert_weights_scale"):
        if fields.number(name, 0.0, low=0.0, high=1e6) not in (0.0, 1.0 if name == "expert_weights_scale" else 0.0):
            raise limits.unsupported(f"an unusual {name}")
    return {
        "num_experts": fields.integer("expert_count", high=limits.MAX_EXPERTS),
        "experts_per_token": fields.integer("expert_used_count", high=limits.MAX_EXPERTS),
        "expert_size": fields.integer(
            "expert_feed_forward_length",
            fields.uniform_integer("feed_forward_length", high=limits.MAX_INTERMEDIATE),
            high=limits.MAX_INTERMEDIATE,
        ),
        "normalizes_experts": True,
    }
