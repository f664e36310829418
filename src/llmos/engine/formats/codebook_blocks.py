"""Blocks of ggml's IQ1, IQ2 and IQ3 types -> float32, with exactly the values of ggml's own formulas.

A block has 256 values of one row. A code is an index into a codebook (codebooks.py) and stands for the magnitudes of 4
or 8 values; their signs and the scales of 16 or 32 values are stored beside the codes. N is the number of blocks.
"""

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.block_parts import BlockBytes, Floats, bits, halves, nibble_pairs, split
from llmos.engine.formats.codebooks import codebook

_SEVEN_BITS = np.arange(128, dtype=np.uint8)
_PARITY = np.unpackbits(_SEVEN_BITS[:, None], axis=1).sum(axis=1, dtype=np.uint8) & np.uint8(1)
_WITH_PARITY: BlockBytes = _SEVEN_BITS | _PARITY << np.uint8(7)
"""Seven signs -> eight signs, of which an even number is set."""

_DELTA = np.float32(0.125)
"""The number that IQ1 types add to the values of 8 or 32, or subtract from them."""


def iq2_xxs(blocks: BlockBytes) -> Floats:
    """Each 32 values: four codes of 8 bits, then four times seven signs and a scale of 4 bits."""
    d, q = split(blocks, 2, 64)
    words_N8x2 = q.view("<u4").reshape(-1, 8, 2)
    codes = np.ascontiguousarray(words_N8x2[..., 0]).view(np.uint8)
    scale_N8 = halves(d) * (np.float32(0.5) + (words_N8x2[..., 1] >> np.uint32(28)).astype(np.float32))
    return _signed("IQ2_XXS", scale_N8 * np.float32(0.25), codes, _seven_signs(words_N8x2[..., 1]))


def iq2_xs(blocks: BlockBytes) -> Floats:
    """Each 8 values: a code of 9 bits and seven signs. Then a scale of 4 bits for each 16 values."""
    d, q, scales = split(blocks, 2, 64, 8)
    words = q.view("<u2")
    scale_N16 = halves(d) * (np.float32(0.5) + nibble_pairs(scales).astype(np.float32)) * np.float32(0.25)
    return _signed("IQ2_XS", scale_N16, words & np.uint16(511), _WITH_PARITY[words >> np.uint16(9)])


def iq2_s(blocks: BlockBytes) -> Floats:
    """Each 8 values: 8 bits of a code, 8 signs, two upper bits of the code. A scale of 4 bits for each 16 values."""
    d, low, signs, high, scales = split(blocks, 2, 32, 32, 8, 8)
    upper = (high[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)) & np.uint8(3)
    codes = low.astype(np.uint16) | upper.reshape(low.shape).astype(np.uint16) << np.uint16(8)
    scale_N16 = halves(d) * (np.float32(0.5) + nibble_pairs(scales).astype(np.float32)) * np.float32(0.25)
    return _signed("IQ2_S", scale_N16, codes, signs)


def iq3_xxs(blocks: BlockBytes) -> Floats:
    """Codes of 8 bits for 4 values each; then, for each 32 values, four times seven signs and a scale of 4 bits."""
    d, codes, rest = split(blocks, 2, 64, 32)
    words_N8 = rest.view("<u4")
    scale_N8 = halves(d) * (np.float32(0.5) + (words_N8 >> np.uint32(28)).astype(np.float32)) * np.float32(0.5)
    return _signed("IQ3_XXS", scale_N8, codes, _seven_signs(words_N8))


def iq3_s(blocks: BlockBytes) -> Floats:
    """Codes of 9 bits for 4 values each, with their upper bits apart; signs; a scale of 4 bits for each 32 values."""
    d, low, high, signs, scales = split(blocks, 2, 64, 8, 32, 4)
    codes = low.astype(np.uint16) | bits(high).astype(np.uint16) << np.uint16(8)
    scale_N8 = halves(d) * (np.float32(1) + np.float32(2) * nibble_pairs(scales).astype(np.float32))
    return _signed("IQ3_S", scale_N8, codes, signs)


def iq1_s(blocks: BlockBytes) -> Floats:
    """Each 32 values: four codes of 8 bits; 16 bits with their upper bits, a scale of 3 bits and the delta's sign."""
    d, low, rest = split(blocks, 2, 32, 16)
    words_N8 = rest.view("<u2")
    upper = (words_N8[:, :, None] >> np.array([0, 3, 6, 9], np.uint16)) & np.uint16(7)
    codes = low.astype(np.uint16) | upper.reshape(low.shape) << np.uint16(8)
    scale_N8 = halves(d) * (2 * (words_N8 >> np.uint16(12) & np.uint16(7)) + 1).astype(np.float32)
    delta_N8 = np.where(words_N8 & np.uint16(0x8000), -_DELTA, _DELTA)
    values = codebook("IQ1_S")[codes].reshape(len(blocks), 8, 32) + delta_N8[:, :, None]
    return _scaled(scale_N8, values)


def iq1_m(blocks: BlockBytes) -> Floats:
    """As iq1_s, with the upper bits of a code and the delta's sign in a nibble.

    The four words of the 16 scales of 3 bits have the block's own 16-bit scale in their upper nibbles.
    """
    low, high, scales = split(blocks, 32, 16, 8)
    words_N4 = scales.view("<u2")
    parts_N4 = (words_N4 & np.uint16(0xF000)) >> np.array([12, 8, 4, 0], np.uint16)
    d = np.bitwise_or.reduce(parts_N4, axis=1, keepdims=True).view(np.float16).astype(np.float32)
    three_N16 = (words_N4[:, :, None] >> np.array([0, 3, 6, 9], np.uint16) & np.uint16(7)).reshape(-1, 16)
    nibbles_N32 = nibble_pairs(high)
    codes = low.astype(np.uint16) | (nibbles_N32 & np.uint8(7)).astype(np.uint16) << np.uint16(8)
    delta_N32 = np.where(nibbles_N32 & np.uint8(8), -_DELTA, _DELTA)
    values = codebook("IQ1_S")[codes] + delta_N32[:, :, None]
    return _scaled(d * (2 * three_N16 + 1).astype(np.float32), values.reshape(len(blocks), 16, 16))


def _signed(name: str, scale_NG: Floats, codes: npt.NDArray[np.integer], signs: BlockBytes) -> Floats:
    """Return scale * sign * magnitude. `signs`: a bit for each value, lowest first; set: negative."""
    magnitudes = codebook(name)[codes].reshape(len(scale_NG), scale_NG.shape[1], -1)
    signs_N256 = np.unpackbits(np.ascontiguousarray(signs).reshape(len(signs), -1), axis=1, bitorder="little")
    return _scaled(scale_NG, np.where(signs_N256.reshape(magnitudes.shape), -magnitudes, magnitudes))


def _scaled(scale_NG: Floats, values: Floats) -> Floats:
    return (scale_NG[:, :, None] * values).reshape(-1, 256)


def _seven_signs(words_N8: npt.NDArray[np.uint32]) -> BlockBytes:
    signs: BlockBytes = _WITH_PARITY[(words_N8[:, :, None] >> np.array([0, 7, 14, 21], np.uint32)) & np.uint32(127)]
    return signs
