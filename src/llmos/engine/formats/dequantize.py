"""BlockBytes of a RawTensor -> float32, with exactly the values of ggml's own formulas.

A block is a run of values of one row that share a scale d (float16) and, in some types, a minimum m. The K types divide
256 values into sub-blocks whose 6-bit scales are multiples of d. N is the number of blocks.
"""

from collections.abc import Callable
from math import prod

import numpy as np
import numpy.typing as npt

from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

BlockBytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_VALUES_AT_ONCE = 1 << 18
"""Values that are dequantized at a time, so that temporaries stay in the CPU cache."""


def dequantize(tensor: RawTensor) -> Floats:
    """Return the tensor's values as a new float32 array of its shape."""
    if tensor.dtype == "F32":
        return np.ascontiguousarray(tensor.data).view("<f4").astype(np.float32).reshape(tensor.shape)
    block_bytes, block_length = BLOCK_BYTES[tensor.dtype], BLOCK_LENGTH[tensor.dtype]
    blocks = np.ascontiguousarray(tensor.data).reshape(-1, block_bytes)
    values = np.empty((prod(tensor.shape) // block_length, block_length), dtype=np.float32)
    step = max(_VALUES_AT_ONCE // block_length, 1)
    # A damaged scale may be infinite or NaN. Its values come out so, for the caller to notice.
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, len(blocks), step):
            values[begin : begin + step] = _DEQUANTIZERS[tensor.dtype](blocks[begin : begin + step])
    return values.reshape(tensor.shape)


def _f16(blocks: BlockBytes) -> Floats:
    return _halves(blocks)


def _bf16(blocks: BlockBytes) -> Floats:
    # bfloat16 is the upper half of a float32.
    return (blocks.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _q8_0(blocks: BlockBytes) -> Floats:
    d, q = _split(blocks, 2, 32)
    return q.view(np.int8).astype(np.float32) * _halves(d)


def _q4_0(blocks: BlockBytes) -> Floats:
    d, q = _split(blocks, 2, 16)
    return _halves(d) * _signed(_nibbles(q), 8)


def _q4_1(blocks: BlockBytes) -> Floats:
    d, m, q = _split(blocks, 2, 2, 16)
    return _halves(d) * _nibbles(q).astype(np.float32) + _halves(m)


def _q5_0(blocks: BlockBytes) -> Floats:
    d, high, q = _split(blocks, 2, 4, 16)
    return _halves(d) * _signed(_nibbles(q) | (_bits(high) << np.uint8(4)), 16)


def _q5_1(blocks: BlockBytes) -> Floats:
    d, m, high, q = _split(blocks, 2, 2, 4, 16)
    return _halves(d) * (_nibbles(q) | (_bits(high) << np.uint8(4))).astype(np.float32) + _halves(m)


def _q4_k(blocks: BlockBytes) -> Floats:
    d, m, scales, q = _split(blocks, 2, 2, 12, 128)
    # Each 32 bytes hold two sub-blocks of 32 values: one in the low nibbles, one in the high nibbles.
    q_N8x32 = (q.reshape(-1, 4, 1, 32) >> _shifts(0, 4)) & np.uint8(15)
    return _scale_k(d, m, scales, q_N8x32.reshape(-1, 8, 32))


def _q5_k(blocks: BlockBytes) -> Floats:
    d, m, scales, high, q = _split(blocks, 2, 2, 12, 32, 128)
    low_N8x32 = ((q.reshape(-1, 4, 1, 32) >> _shifts(0, 4)) & np.uint8(15)).reshape(-1, 8, 32)
    # Bit s of byte i is the fifth bit of value i of sub-block s.
    high_N8x32 = ((high.reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8)[:, None]) & np.uint8(1)) << np.uint8(4)
    return _scale_k(d, m, scales, low_N8x32 | high_N8x32)


def _q6_k(blocks: BlockBytes) -> Floats:
    low, high, scales, d = _split(blocks, 128, 64, 16, 2)
    low_N8x32 = ((low.reshape(-1, 2, 1, 64) >> _shifts(0, 4)) & np.uint8(15)).reshape(-1, 8, 32)
    high_N8x32 = ((high.reshape(-1, 2, 1, 32) >> _shifts(0, 2, 4, 6)) & np.uint8(3)).reshape(-1, 8, 32)
    q_N16x16 = _signed(low_N8x32 | (high_N8x32 << np.uint8(4)), 32).reshape(-1, 16, 16)
    d_N16 = _halves(d) * scales.view(np.int8).astype(np.float32)
    return (d_N16[:, :, None] * q_N16x16).reshape(-1, 256)


_DEQUANTIZERS: dict[DType, Callable[[BlockBytes], Floats]] = {
    "F16": _f16, "BF16": _bf16, "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1,
    "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
}  # fmt: skip


def _scale_k(d: BlockBytes, m: BlockBytes, scales: BlockBytes, q_N8x32: BlockBytes) -> Floats:
    """Scale the eight sub-blocks of a K block: value = d * scale * q - m * minimum.

    The twelve bytes hold eight scales and eight minimums of 6 bits. The low 6 bits of bytes 0-3 and 4-7 are those of
    sub-blocks 0-3. Their upper 2 bits are the upper bits of sub-blocks 4-7, whose lower 4 bits are in bytes 8-11.
    """
    low, middle, high = _split(scales, 4, 4, 4)
    scale_N8 = np.concatenate(
        [low & np.uint8(63), (high & np.uint8(15)) | ((low >> np.uint8(2)) & np.uint8(48))], axis=1
    )
    minimum_N8 = np.concatenate(
        [middle & np.uint8(63), (high >> np.uint8(4)) | ((middle >> np.uint8(2)) & np.uint8(48))], axis=1
    )
    d_N8, m_N8 = _halves(d) * scale_N8.astype(np.float32), _halves(m) * minimum_N8.astype(np.float32)
    return (d_N8[:, :, None] * q_N8x32.astype(np.float32) - m_N8[:, :, None]).reshape(-1, 256)


def _split(blocks: BlockBytes, *sizes: int) -> list[BlockBytes]:
    """Split each block into parts of these sizes in bytes, each contiguous so that it can be viewed as another type."""
    ends = np.cumsum(sizes)
    return [np.ascontiguousarray(blocks[:, end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _halves(part: BlockBytes) -> Floats:
    return part.view("<f2").astype(np.float32)


def _nibbles(q: BlockBytes) -> BlockBytes:
    """Return all low nibbles of each block, then all high ones."""
    return np.concatenate([q & np.uint8(15), q >> np.uint8(4)], axis=1)


def _bits(part: BlockBytes) -> BlockBytes:
    return np.unpackbits(part, axis=1, bitorder="little")


def _signed(q: BlockBytes, middle: int) -> Floats:
    return q.astype(np.float32) - np.float32(middle)


def _shifts(*amounts: int) -> npt.NDArray[np.uint8]:
    return np.array(amounts, dtype=np.uint8)[:, None]
