"""Decoders of unusual shapes with random weights, and batches for them."""

from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch
from llmos.engine.runner.native import NativeRunner
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

LLAMA = DecoderSpec(
    family="llama", vocab_size=203, hidden_size=96, num_layers=2, num_heads=6, num_kv_heads=2, head_dim=16,
    intermediate_size=160, max_positions=512, tied_head=True,
)  # fmt: skip
ODD = replace(LLAMA, hidden_size=44, head_dim=18, num_heads=3, num_kv_heads=1, intermediate_size=50, vocab_size=37)
WINDOWED = replace(LLAMA, sliding_window=7, num_heads=8, num_kv_heads=1, tied_head=False, qk_norm="head", qkv_bias=True)
GPT2 = replace(
    LLAMA, family="gpt2", norm="layernorm", activation="gelu_tanh", gated=False, learned_positions=True, qkv_bias=True,
    output_bias=True, mlp_bias=True, num_kv_heads=6, hidden_size=50,
)  # fmt: skip
NARROW = replace(GPT2, hidden_size=36)  # its last sixteen columns are all padding
CAPPED = replace(
    LLAMA, post_norm=True, qk_norm="head", attention_softcap=2.0, logit_softcap=3.0, attention_scale=0.7, num_layers=3,
    embedding_multiplier=7.0, sliding_window=9, windowed_layers=(0, 2), window_rope_theta=500.0, activation="gelu_tanh",
)  # fmt: skip
LATE = replace(
    ODD, pre_norm=False, post_norm=True, qk_norm="whole", num_layers=3, unrotated_layers=(1,), rotary_dim=6,
    rope_scaling="yarn", rope_factor=4.0, rope_original_positions=64, rope_attention_factor=1.1,
)  # fmt: skip
BESIDE = replace(
    NARROW, parallel_residual=True, qk_norm="each_head", activation="gelu", learned_positions=False, rotary_dim=4,
    residual_multiplier=0.7, logit_multiplier=0.3,
)  # fmt: skip
EXPERTS = replace(
    LLAMA, num_experts=7, experts_per_token=3, expert_size=44, normalizes_experts=True, num_layers=3, dense_layers=(1,)
)
BRANCHED = replace(
    EXPERTS, normalizes_experts=False, expert_size=96, residual_multiplier=0.5, hidden_size=44, head_dim=18
)
SINKS = replace(
    ODD, activation="clamped_swiglu", attention_sinks=True, num_experts=5, experts_per_token=2, expert_size=50,
    normalizes_experts=True, mlp_bias=True, router_bias=True, qkv_bias=True, output_bias=True, sliding_window=7,
    windowed_layers=(1,), query_growth=0.5, query_growth_positions=5,
)  # fmt: skip
SQUARED = replace(
    LLAMA, activation="relu2", gated=False, head_bias=True, qk_norm="head", norms_rotated_heads=True, rotary_dim=6,
    tied_head=False,
)  # fmt: skip
ROUTED = replace(
    EXPERTS, num_experts=12, expert_groups=4, chosen_groups=2, router_score="sigmoid", corrects_router=True,
    expert_multiplier=0.8, attention_scale=0.1, shared_expert_size=90, expert_size=44,
)  # fmt: skip
DELTA = replace(
    LLAMA, num_layers=3, recurrence="delta", recurrent_layers=(0, 2), conv_size=4, recurrent_heads=6,
    recurrent_key_heads=3, recurrent_key_size=10, recurrent_value_size=18, attention_gate=True, qk_norm="head",
    num_experts=4, experts_per_token=2, expert_size=40, shared_expert_size=50, gates_shared_expert=True,
    normalizes_experts=True, dense_layers=(1,),
)  # fmt: skip
MAMBA = replace(
    LLAMA, num_layers=3, recurrence="mamba", recurrent_layers=(0, 1), conv_size=4, conv_bias=True, recurrent_heads=4,
    recurrent_key_heads=2, recurrent_key_size=12, recurrent_value_size=70, residual_multiplier=0.5,
    unrotated_layers=(0, 1, 2), step_limits=(0.1, 1.5), tiles_key_heads=True,
)  # fmt: skip
CONVOLVED = replace(ODD, num_layers=3, recurrence="conv", recurrent_layers=(0, 2), conv_size=3)
_GEMMA4 = replace(
    LLAMA, num_layers=4, head_dim=12, full_head_dim=18, post_norm=True, qk_norm="head", norms_values=True,
    attention_scale=0.1, scales_layers=True, sliding_window=7, windowed_layers=(0, 2), window_rope_theta=500.0,
    rope_scaling="proportional", rope_pairs=3, activation="gelu_tanh",
)  # fmt: skip
SHARED = replace(
    _GEMMA4, num_layers=5, shared_kv_layers=3, windowed_layers=(0, 2, 3), layer_input_size=10, layer_input_vocab=150,
    intermediate_sizes=(80, 80, 160, 160, 160),
)  # fmt: skip
MIXED = replace(
    _GEMMA4, full_kv_heads=3, keys_are_values=True, num_experts=5, experts_per_token=2, expert_size=40,
    normalizes_experts=True, norms_experts=True, shared_expert_size=160,
)  # fmt: skip
STREAMS = replace(
    SHARED, scales_layers=False, full_head_dim=None, rope_scaling="none", rope_pairs=0, residual_streams=3,
    laurel_size=20, gate_cutoffs=(0.5, float("-inf"), 1.2, 0.0, float("-inf")),
)  # fmt: skip
SPECS = {
    "llama": LLAMA, "odd": ODD, "windowed": WINDOWED, "gpt2": GPT2, "narrow": NARROW, "capped": CAPPED, "late": LATE,
    "beside": BESIDE, "experts": EXPERTS, "branched": BRANCHED, "sinks": SINKS, "squared": SQUARED, "routed": ROUTED,
    "delta": DELTA, "mamba": MAMBA, "convolved": CONVOLVED, "shared": SHARED, "mixed": MIXED,
    "streams": STREAMS,
}  # fmt: skip
_ROOMY = replace(LLAMA, num_layers=1, num_heads=2, num_kv_heads=1, hidden_size=64, intermediate_size=96)
WIDE = {
    "whole blocks": replace(_ROOMY, head_dim=32),
    "a rest of 16": replace(_ROOMY, head_dim=80, num_heads=7),
    "a rest of 4": replace(_ROOMY, head_dim=100, num_heads=8, num_kv_heads=2, qk_norm="head"),
    "a window from within a stretch": replace(_ROOMY, head_dim=64, num_heads=3, sliding_window=70),
}
"""Heads of several sizes, for rows longer than a block of keys and values."""
K_LLAMA = replace(LLAMA, hidden_size=256, num_heads=16, intermediate_size=512)
"""Rows of whole blocks of 256, as K-quants have them."""
BLOCK_TYPES: tuple[DType, ...] = (
    "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
)  # fmt: skip
"""The types that are packed as they are."""
ISAS = _native.available_isas()


def random_tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> RawTensor:
    """Return random weights of about 1 / sqrt(columns), encoded as in a file."""
    if len(shape) == 1 or shape[-1] % BLOCK_LENGTH[dtype]:
        dtype = "F32"
    rows, columns = (int(np.prod(shape[:-1])), shape[-1]) if len(shape) > 1 else (1, shape[0])
    if dtype == "F32":
        values = rng.normal(1 if len(shape) == 1 else 0, 0.3 if len(shape) == 1 else columns**-0.5, (rows, columns))
        return RawTensor("F32", shape, values.astype(np.float32).view(np.uint8))
    return RawTensor(dtype, shape, _random_blocks(rng, rows, columns, dtype).reshape(rows, -1))


def _random_blocks(rng: np.random.Generator, rows: int, columns: int, dtype: DType) -> npt.NDArray[np.uint8]:
    """Return blocks of random integers with scales between half and three halves of the usual one."""
    num_blocks = columns // BLOCK_LENGTH[dtype]
    blocks = rng.integers(0, 256, (rows, num_blocks, BLOCK_BYTES[dtype]), dtype=np.uint8)
    _set_random_scales(rng, blocks, columns, dtype)
    return blocks


def extreme_tensor(rng: np.random.Generator, rows: int, columns: int, dtype: DType) -> RawTensor:
    """Return weights whose integers are all the smallest, or all the largest, of the type, row by row."""
    shape = (rows, columns // BLOCK_LENGTH[dtype], BLOCK_BYTES[dtype])
    fillings = np.array([0x00, 0xFF, 0x77, 0x7F, 0x80], np.uint8)
    blocks = np.empty(shape, np.uint8)
    blocks[:] = rng.choice(fillings, rows)[:, None, None]
    _set_random_scales(rng, blocks, columns, dtype)
    return RawTensor(dtype, (rows, columns), blocks.reshape(rows, -1))


def _set_random_scales(rng: np.random.Generator, blocks: npt.NDArray[np.uint8], columns: int, dtype: DType) -> None:
    rows, num_blocks, _ = blocks.shape
    if dtype == "MXFP4":
        blocks[..., 0] = rng.integers(121, 124, (rows, num_blocks))
    elif dtype == "NVFP4":
        blocks[..., :4] = rng.integers(8, 24, (rows, num_blocks, 4))
    else:
        scales = rng.uniform(0.5, 1.5, (rows, num_blocks)) * columns**-0.5 / _spread(dtype)
        _set_scales(blocks, dtype, scales.astype(np.float16))


@cache
def _spread(dtype: DType) -> float:
    """Return the deviation of a type's values where the scale of every block is 1."""
    blocks = np.random.default_rng(1).integers(0, 256, (1, 64, BLOCK_BYTES[dtype]), dtype=np.uint8)
    _set_scales(blocks, dtype, np.ones((1, 64), np.float16))
    return float(dequantize(RawTensor(dtype, (1, 64 * BLOCK_LENGTH[dtype]), blocks.reshape(1, -1))).std())


def _set_scales(blocks: npt.NDArray[np.uint8], dtype: DType, scales: npt.NDArray[np.float16]) -> None:
    if dtype == "IQ1_M":  # the scale's four nibbles are the upper ones of four words
        words = blocks[..., 48:].view("<u2")
        nibbles = (scales.view(np.uint16)[..., None] >> np.array([0, 4, 8, 12], np.uint16)) & np.uint16(15)
        words[:] = (words & np.uint16(0x0FFF)) | nibbles << np.uint16(12)
        return
    at = {"Q6_K": 208, "Q3_K": 108, "Q2_K": 80, "TQ1_0": 52, "TQ2_0": 64}.get(dtype, 0)
    blocks[..., at : at + 2] = scales[..., None].view(np.uint8)
    middle = {"Q4_1": -7.5, "Q5_1": -15.5, "Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}.get(dtype)
    if middle is not None:
        blocks[..., at + 2 : at + 4] = (scales * middle).astype(np.float16)[..., None].view(np.uint8)


def random_model(spec: DecoderSpec, dtype: DType) -> dict[str, RawTensor]:
    """Return the same random tensors for every call. They are read-only; the dictionary is the caller's own."""
    return dict(_random_tensors(spec, dtype))


@cache
def _random_tensors(spec: DecoderSpec, dtype: DType) -> dict[str, RawTensor]:
    rng = np.random.default_rng(7)
    tensors = {name: random_tensor(rng, shape, dtype) for name, shape in spec.tensor_shapes().items()}
    for name, tensor in tensors.items():
        if name.endswith(".decay.weight"):  # a state that grows would overflow
            tensor.data.view(np.float32)[:] *= -1
        tensor.data.flags.writeable = False
    return tensors


def batch_of(sequences: list[tuple[int, list[int], list[int]]]) -> Batch:
    """Return a batch of (context length, new tokens, block table), with logits of every new token."""
    starts = np.cumsum([0, *(len(tokens) for _, tokens, _ in sequences)])
    tables = np.zeros((len(sequences), max(len(table) for _, _, table in sequences)), dtype=np.int32)
    for row, (_, _, table) in zip(tables, sequences, strict=True):
        row[: len(table)] = table
    return Batch(
        tokens=np.array([token for _, tokens, _ in sequences for token in tokens], dtype=np.int32),
        starts=starts.astype(np.int32),
        context_lengths=np.array([context for context, _, _ in sequences], dtype=np.int32),
        block_tables=tables,
        logit_rows=np.arange(starts[-1], dtype=np.int32),
    )


def prompt_of(length: int, seed: int, spec: DecoderSpec = LLAMA) -> list[int]:
    return np.random.default_rng(seed).integers(0, spec.vocab_size, length).tolist()  # type: ignore[no-any-return]


@lru_cache(64)
def runner_of(spec: DecoderSpec, dtype: DType, **options: Any) -> NativeRunner:
    """Return a runner with random weights. Callers with the same arguments share it and its KV cache."""
    return NativeRunner(spec, random_model(spec, dtype), num_blocks=64, **options)


def relative_error(actual: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.abs(actual - expected).max() / expected.std())


def typical_error(actual: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((actual - expected) ** 2)) / expected.std())
