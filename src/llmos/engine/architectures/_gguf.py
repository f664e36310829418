"""Read the GGUF metadata of Llama and its many heirs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._rope import frequency_divisors
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.formats.dequantize import dequantize
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
    "o": "blk.{i}.attn_output",
    "mlp_norm": "blk.{i}.ffn_norm",
    "gate": "blk.{i}.ffn_gate",
    "up": "blk.{i}.ffn_up",
    "down": "blk.{i}.ffn_down",
    "final_norm": "output_norm",
    "head": "output",
}

_EPS_NAMES: dict[Norm, str] = {
    "rmsnorm": "attention.layer_norm_rms_epsilon",
    "layernorm": "attention.layer_norm_epsilon",
}

ROPE_FACTORS = "rope_freqs.weight"
"""Llama 3's rope scaling, as the converters write it: what each frequency is divided by."""


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, GGUF_NAMES)


def gguf_fields(metadata: Mapping[str, Any], architecture: str) -> Fields:
    """Return the fields `{architecture}.*`. Raises UnsupportedModel for parts that no spec can describe."""
    fields = Fields(metadata, where="the GGUF metadata", prefix=f"{architecture}.")
    if fields.integer("expert_count", 0, low=0):
        raise limits.refuse_parts("a mixture of experts")
    if not fields.flag("attention.causal", True):
        raise limits.refuse_parts("attention in both directions (it makes embeddings, not text)")
    return fields


def vocab_size_of(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> int:
    """Return the rows of the embedding. Raises BadModelFile where the vocabulary has more tokens than those."""
    if "token_embd.weight" not in tensors:
        raise BadModelFile("The file has no tensor token_embd.weight, so it holds no language model.")
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
    norm: Norm = "rmsnorm",
    qk_norm: bool = False,
) -> DecoderSpec:
    """Return the spec of the metadata. Which biases there are, and whether the head is tied, shows in the tensors."""
    fields = gguf_fields(metadata, architecture)
    hidden_size = fields.integer("embedding_length", high=limits.MAX_HIDDEN)
    num_heads = fields.uniform_integer("attention.head_count", high=limits.MAX_HEADS)
    max_positions = fields.integer("context_length", high=limits.MAX_POSITIONS)
    head_dim = fields.integer("attention.key_length", 0, low=0, high=limits.MAX_HEAD_DIM)
    head_dim = head_dim or limits.head_dim_of(hidden_size, num_heads)
    if fields.integer("attention.value_length", head_dim) != head_dim:
        raise limits.refuse_parts("values of another size than its keys")
    if fields.integer("rope.dimension_count", head_dim) != head_dim:
        raise limits.refuse_parts("rotary positions on a part of each head only")
    window = fields.integer("attention.sliding_window", 0, low=0, high=limits.MAX_POSITIONS)
    spec = DecoderSpec(
        family=architecture,
        vocab_size=vocab_size_of(metadata, tensors),
        hidden_size=hidden_size,
        num_layers=fields.integer("block_count", high=limits.MAX_LAYERS),
        num_heads=num_heads,
        num_kv_heads=fields.uniform_integer("attention.head_count_kv", num_heads, high=limits.MAX_HEADS),
        head_dim=head_dim,
        intermediate_size=fields.uniform_integer("feed_forward_length", high=limits.MAX_INTERMEDIATE),
        max_positions=max_positions,
        norm=norm,
        norm_eps=fields.number(_EPS_NAMES[norm], low=0.0, high=1.0),
        qkv_bias="blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        mlp_bias="blk.0.ffn_down.bias" in tensors,
        qk_norm=qk_norm,
        sliding_window=limits.window_or_none(window or None, max_positions),
        tied_head="output.weight" not in tensors,
        **_rope(fields, head_dim, tensors),
    )
    return limits.checked(spec)


def _rope(fields: Fields, head_dim: int, tensors: Mapping[str, RawTensor]) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_theta": fields.number("rope.freq_base", 10_000.0, low=1.0, high=1e12)}
    # Before rope.scaling.type there was a bare factor, and it meant "linear"; 0 and 1 mean no scaling.
    kind = fields.word("rope.scaling.type", "linear", known=("none", "linear"))
    factor = fields.number(
        "rope.scaling.factor", fields.number("rope.scale_linear", 0.0, low=0.0, high=1e6), low=0.0, high=1e6
    )
    if kind == "linear" and factor not in (0.0, 1.0):
        rope |= {"rope_scaling": "linear", "rope_factor": factor}
    if ROPE_FACTORS in tensors:
        rope |= _llama3_scaling(tensors[ROPE_FACTORS], head_dim, rope)
    return rope


def _llama3_scaling(factors: RawTensor, head_dim: int, rope: dict[str, Any]) -> dict[str, Any]:
    """Return the llama3 scaling that these factors were made from; nothing where they are all 1.

    The file keeps the result and not the parameters. Every Llama 3 blends from 1 to 4 turns of 8,192 positions, so only
    the factor is open, and that is the largest value. Whether it is really so is then checked against all of them.
    """
    if factors.shape != (head_dim // 2,):
        raise BadModelFile(f"{ROPE_FACTORS} is {list(factors.shape)}; heads of {head_dim} need [{head_dim // 2}].")
    divisors = dequantize(factors).astype(np.float64)
    if np.array_equal(divisors, np.ones_like(divisors)):
        return {}
    if rope.get("rope_scaling", "none") == "none" and np.isfinite(divisors).all() and divisors.max() > 1.0:
        scaling = {"rope_scaling": "llama3", "rope_factor": float(divisors.max())}
        made = DecoderSpec(
            family="", vocab_size=1, hidden_size=1, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=head_dim,
            intermediate_size=1, max_positions=1, **(rope | scaling),
        )  # fmt: skip
        if np.allclose(frequency_divisors(made), divisors, rtol=1e-4):
            return scaling
    raise UnsupportedModel(f"{ROPE_FACTORS} scales the rotary positions in another way than Llama 3 does.")
