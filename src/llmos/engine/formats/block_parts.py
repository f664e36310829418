"""The parts of quantized blocks, as numpy views: what dequantize.py and codebook_blocks.py take blocks apart with."""

import numpy as np
import numpy.typing as npt

BlockBytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def split(blocks: BlockBytes, *sizes: int) -> list[BlockBytes]:
    """Split each block into parts of these sizes in bytes, each contiguous so that it can be viewed as another type."""
    ends = np.cumsum(sizes)
    return [np.ascontiguousarray(blocks[:, end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def halves(part: BlockBytes) -> Floats:
    """Return 16-bit floats as float32."""
    return part.view("<f2").astype(np.float32)


def nibbles(q: BlockBytes) -> BlockBytes:
    """Return all low nibbles of each block, then all high ones."""
    return np.concatenate([q & np.uint8(15), q >> np.uint8(4)], axis=1)


def nibble_pairs(part: BlockBytes) -> BlockBytes:
    """Return the low and the high nibble of each byte, in this order."""
    return np.stack([part & np.uint8(15), part >> np.uint8(4)], axis=2).reshape(len(part), -1)


def bits(part: BlockBytes) -> BlockBytes:
    """Return each block's bits, the lowest of each byte first."""
    return np.unpackbits(part, axis=1, bitorder="little")


def signed(q: BlockBytes, middle: int) -> Floats:
    """Return q - middle."""
    return q.astype(np.float32) - np.float32(middle)


def shifts(*amounts: int) -> npt.NDArray[np.uint8]:
    """Return a column of numbers of bits to shift by."""
    return np.array(amounts, dtype=np.uint8)[:, None]
