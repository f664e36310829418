"""The same network with its dimensions shuffled, in bfloat16. Used by quality.py.

Quantizing a model to 4 bits shows nothing if its file was 4-bit already, since the same blocks result. Here the hidden,
intermediate and value dimensions are shuffled consistently in all weights, so that the network computes the same
function, but blocks of 32 columns mix values that never shared a scale. Queries and keys keep the order of their
dimensions, since the rotary positions depend on it.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

_HIDDEN_ROWS = {"o", "down"}
_HIDDEN_COLUMNS = {"embed", "positions", "head", "q", "k", "v", "gate", "up"}
_INTERMEDIATE_ROWS = {"gate", "up"}


def disguise(spec: DecoderSpec, tensors: Mapping[str, RawTensor], seed: int = 1) -> dict[str, RawTensor]:
    """Return the shuffled tensors; matrices as BF16, vectors as F32."""
    rng = np.random.default_rng(seed)
    hidden = rng.permutation(spec.hidden_size)
    orders = [(rng.permutation(spec.intermediate_size), *_value_orders(spec, rng)) for _ in range(spec.num_layers)]
    shuffled = {}
    for name, shape in spec.tensor_shapes().items():
        *path, part, _ = name.split(".")
        values = dequantize(tensors[name]).reshape(-1, shape[-1]) if len(shape) > 1 else dequantize(tensors[name])
        if part in _HIDDEN_ROWS or (part.endswith("_norm") and part not in ("q_norm", "k_norm")):
            values = values[hidden]
        if path:
            intermediate, value_rows, output_columns = orders[int(path[1])]
            if part in _INTERMEDIATE_ROWS:
                values = values[intermediate]
            elif part == "v":
                values = values[value_rows]
            if len(shape) > 1 and part == "down":
                values = values[:, intermediate]
            elif len(shape) > 1 and part == "o":
                values = values[:, output_columns]
        if len(shape) > 1 and part in _HIDDEN_COLUMNS:
            values = values[:, hidden]
        shuffled[name] = _bf16(values) if len(shape) > 1 else _f32(values)
    return shuffled


def _value_orders(spec: DecoderSpec, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the order of v's rows, and the corresponding one of o's columns: groups of heads share a head of v."""
    within = [rng.permutation(spec.head_dim) for _ in range(spec.num_kv_heads)]
    group = spec.num_heads // spec.num_kv_heads
    rows = [head * spec.head_dim + order for head, order in enumerate(within)]
    columns = [head * spec.head_dim + within[head // group] for head in range(spec.num_heads)]
    return np.concatenate(rows), np.concatenate(columns)


def _bf16(values: npt.NDArray[np.float32]) -> RawTensor:
    """Round to the nearest bfloat16, ties to even: the upper half of a float32."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")
    return RawTensor("BF16", values.shape, rounded.view(np.uint8))


def _f32(values: npt.NDArray[np.float32]) -> RawTensor:
    return RawTensor("F32", values.shape, np.ascontiguousarray(values)[None].view(np.uint8))
