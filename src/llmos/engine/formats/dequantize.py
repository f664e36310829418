"""BlockBytes of a RawTensor -> float32, with exactly the values of ggml's own formulas.

A block is a run of values of one row that share a scale d (float16) and, in some types, a minimum m. The K types divide
256 values into sub-blocks whose 6-bit scales are multiples of d. N is the number of blocks.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from llmos.engine.formats import codebook_blocks
from llmos.engine.formats.block_parts import (
    BlockBytes,
    Floats,
    bits,
    halves,
    nibble_pairs,
    nibbles,
    shifts,
    signed,
    split,
)
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

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
    return halves(blocks)


def _bf16(blocks: BlockBytes) -> Floats:
    # bfloat16 is the upper half of a float32.
    return (blocks.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _q8_0(blocks: BlockBytes) -> Floats:
    d, q = split(blocks, 2, 32)
    return q.view(np.int8).astype(np.float32) * halves(d)


def _q4_0(blocks: BlockBytes) -> Floats:
    d, q = split(blocks, 2, 16)
    return halves(d) * signed(nibbles(q), 8)


def _q4_1(blocks: BlockBytes) -> Floats:
    d, m, q = split(blocks, 2, 2, 16)
    return halves(d) * nibbles(q).astype(np.float32) + halves(m)


def _q5_0(blocks: BlockBytes) -> Floats:
    d, high, q = split(blocks, 2, 4, 16)
    return halves(d) * signed(nibbles(q) | (bits(high) << np.uint8(4)), 16)


def _q5_1(blocks: BlockBytes) -> Floats:
    d, m, high, q = split(blocks, 2, 2, 4, 16)
    return halves(d) * (nibbles(q) | (bits(high) << np.uint8(4))).astype(np.float32) + halves(m)


def _q4_k(blocks: BlockBytes) -> Floats:
    d, m, scales, q = split(blocks, 2, 2, 12, 128)
    # Each 32 bytes hold two sub-blocks of 32 values: one in the low nibbles, one in the high nibbles.
    q_N8x32 = (q.reshape(-1, 4, 1, 32) >> shifts(0, 4)) & np.uint8(15)
    return _scale_k(d, m, scales, q_N8x32.reshape(-1, 8, 32))


def _q5_k(blocks: BlockBytes) -> Floats:
    d, m, scales, high, q = split(blocks, 2, 2, 12, 32, 128)
    low_N8x32 = ((q.reshape(-1, 4, 1, 32) >> shifts(0, 4)) & np.uint8(15)).reshape(-1, 8, 32)
    # Bit s of byte i is the fifth bit of value i of sub-block s.
    high_N8x32 = ((high.reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8)[:, None]) & np.uint8(1)) << np.uint8(4)
    return _scale_k(d, m, scales, low_N8x32 | high_N8x32)


def _q6_k(blocks: BlockBytes) -> Floats:
    low, high, scales, d = split(blocks, 128, 64, 16, 2)
    low_N8x32 = ((low.reshape(-1, 2, 1, 64) >> shifts(0, 4)) & np.uint8(15)).reshape(-1, 8, 32)
    high_N8x32 = ((high.reshape(-1, 2, 1, 32) >> shifts(0, 2, 4, 6)) & np.uint8(3)).reshape(-1, 8, 32)
    q_N16x16 = signed(low_N8x32 | (high_N8x32 << np.uint8(4)), 32).reshape(-1, 16, 16)
    d_N16 = halves(d) * scales.view(np.int8).astype(np.float32)
    return (d_N16[:, :, None] * q_N16x16).reshape(-1, 256)


def _q2_k(blocks: BlockBytes) -> Floats:
    scales, q, d, m = split(blocks, 16, 64, 2, 2)
    q_N16x16 = ((q.reshape(-1, 2, 1, 32) >> shifts(0, 2, 4, 6)) & np.uint8(3)).reshape(-1, 16, 16)
    d_N16 = halves(d) * (scales & np.uint8(15)).astype(np.float32)
    m_N16 = halves(m) * (scales >> np.uint8(4)).astype(np.float32)
    return (d_N16[:, :, None] * q_N16x16.astype(np.float32) - m_N16[:, :, None]).reshape(-1, 256)


def _q3_k(blocks: BlockBytes) -> Floats:
    high, low, scales, d = split(blocks, 32, 64, 12, 2)
    low_N256 = ((low.reshape(-1, 2, 1, 32) >> shifts(0, 2, 4, 6)) & np.uint8(3)).reshape(-1, 256)
    # Bit s of byte i is the third bit of value i of sub-block s.
    high_N256 = ((high.reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8)[:, None]) & np.uint8(1)).reshape(-1, 256)
    q_N16x16 = signed(low_N256 | high_N256 << np.uint8(2), 4).reshape(-1, 16, 16)
    # The lower 4 bits of the 16 scales are the nibbles of eight bytes; four bytes have their upper 2 bits.
    upper_N16 = (scales[:, None, 8:] >> shifts(0, 2, 4, 6) & np.uint8(3)).reshape(-1, 16)
    d_N16 = halves(d) * signed(nibbles(np.ascontiguousarray(scales[:, :8])) | upper_N16 << np.uint8(4), 32)
    return (d_N16[:, :, None] * q_N16x16).reshape(-1, 256)


def _iq4_nl(blocks: BlockBytes) -> Floats:
    d, q = split(blocks, 2, 16)
    return halves(d) * _IQ4_VALUES[nibbles(q)]


def _iq4_xs(blocks: BlockBytes) -> Floats:
    d, high, low, q = split(blocks, 2, 2, 4, 128)
    upper_N8 = (high.view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & np.uint16(3)).astype(np.uint8)
    d_N8 = halves(d) * signed(nibble_pairs(low) | upper_N8 << np.uint8(4), 32)
    q_N8x32 = nibbles(q.reshape(-1, 16)).reshape(-1, 8, 32)
    return (d_N8[:, :, None] * _IQ4_VALUES[q_N8x32]).reshape(-1, 256)


def _mxfp4(blocks: BlockBytes) -> Floats:
    exponent, q = split(blocks, 1, 16)
    # The table has doubled values, so the scale is half of 2^(e - 127).
    return np.ldexp(_DOUBLED_FP4[nibbles(q)], exponent.astype(np.int32) - 128)


def _nvfp4(blocks: BlockBytes) -> Floats:
    scales, q = split(blocks, 4, 32)
    values = _DOUBLED_FP4[nibbles(q.reshape(-1, 8))].reshape(-1, 4, 16)
    return (_UNSIGNED_FP8[scales][:, :, None] * (values * np.float32(0.5))).reshape(-1, 64)


def _tq1_0(blocks: BlockBytes) -> Floats:
    low, high, d = split(blocks, 48, 4, 2)
    # A byte holds five digits of base 3 as a fraction of 256, the first one by itself: multiples shift them up.
    digits = np.concatenate(
        [_digits(low[:, :32], 5), _digits(low[:, 32:], 5), _digits(high, 4)], axis=1
    )  # fmt: skip
    return halves(d) * signed((digits.astype(np.uint16) * np.uint16(3) >> np.uint16(8)).astype(np.uint8), 1)


def _digits(part: BlockBytes, count: int) -> BlockBytes:
    powers = np.array([1, 3, 9, 27, 81][:count], dtype=np.uint8)[:, None]
    return (part[:, None, :] * powers).reshape(len(part), -1)


def _tq2_0(blocks: BlockBytes) -> Floats:
    q, d = split(blocks, 64, 2)
    return halves(d) * signed(((q.reshape(-1, 2, 1, 32) >> shifts(0, 2, 4, 6)) & np.uint8(3)).reshape(-1, 256), 1)


def _decode_unsigned_fp8() -> Floats:
    """Return the value of each byte as an unsigned float, 4 bits of exponent and 3 of fraction; 0 for NaN, as ggml."""
    code = np.arange(256)
    exponent, fraction = code >> 3 & 15, (code & 7).astype(np.float32)
    normal = np.ldexp(1 + fraction / 8, exponent - 7)
    values = np.where(exponent == 0, np.ldexp(fraction, -9), normal)
    return np.where(code == 127, 0, values).astype(np.float32)


_IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)  # fmt: skip
_DOUBLED_FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
"""Twice the floats of 2 bits of exponent and 1 of fraction (OCP Microscaling Formats 1.0)."""
_UNSIGNED_FP8 = _decode_unsigned_fp8()

_DEQUANTIZERS: dict[DType, Callable[[BlockBytes], Floats]] = {
    "F16": _f16, "BF16": _bf16, "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1,
    "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
    "IQ4_NL": _iq4_nl, "IQ4_XS": _iq4_xs, "MXFP4": _mxfp4, "NVFP4": _nvfp4, "TQ1_0": _tq1_0, "TQ2_0": _tq2_0,
    "IQ1_S": codebook_blocks.iq1_s, "IQ1_M": codebook_blocks.iq1_m,
    "IQ2_XXS": codebook_blocks.iq2_xxs, "IQ2_XS": codebook_blocks.iq2_xs, "IQ2_S": codebook_blocks.iq2_s,
    "IQ3_XXS": codebook_blocks.iq3_xxs, "IQ3_S": codebook_blocks.iq3_s,
}  # fmt: skip


def _scale_k(d: BlockBytes, m: BlockBytes, scales: BlockBytes, q_N8x32: BlockBytes) -> Floats:
    """Scale the eight sub-blocks of a K block: value = d * scale * q - m * minimum.

    The twelve bytes hold eight scales and eight minimums of 6 bits. The low 6 bits of bytes 0-3 and 4-7 are those of
    sub-blocks 0-3. Their upper 2 bits are the upper bits of sub-blocks 4-7, whose lower 4 bits are in bytes 8-11.
    """
    low, middle, high = split(scales, 4, 4, 4)
    scale_N8 = np.concatenate(
        [low & np.uint8(63), (high & np.uint8(15)) | ((low >> np.uint8(2)) & np.uint8(48))], axis=1
    )
    minimum_N8 = np.concatenate(
        [middle & np.uint8(63), (high >> np.uint8(4)) | ((middle >> np.uint8(2)) & np.uint8(48))], axis=1
    )
    d_N8, m_N8 = halves(d) * scale_N8.astype(np.float32), halves(m) * minimum_N8.astype(np.float32)
    return (d_N8[:, :, None] * q_N8x32.astype(np.float32) - m_N8[:, :, None]).reshape(-1, 256)
