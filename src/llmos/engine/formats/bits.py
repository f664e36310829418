"""Small integers packed to the bit: value i of a row takes bits i * b to (i + 1) * b - 1, lowest bit first."""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

# R rows, C values of a row, b bits of a value


def packed_bytes(num_values: int, bits: int) -> int:
    """Return the number of bytes of a packed row. Its last byte may have unused bits."""
    return -(-num_values * bits // 8)


def pack(values_RC: Bytes, bits: int) -> Bytes:
    """Pack values from 0 to 2^bits - 1. Return uint8 [R, packed_bytes(C, bits)]."""
    if bits == 8:
        return values_RC
    if bits == 4 and values_RC.shape[1] % 2 == 0:
        both: Bytes = values_RC[:, ::2] | (values_RC[:, 1::2] << np.uint8(4))
        return both
    each_RCb = (values_RC[:, :, None] >> np.arange(bits, dtype=np.uint8)) & np.uint8(1)
    return np.packbits(each_RCb.reshape(len(values_RC), -1), axis=1, bitorder="little")


def unpack(packed: Bytes, num_values: int, bits: int) -> Bytes:
    """Return the values that were packed: uint8 [R, num_values]."""
    if bits == 8:
        return packed
    if bits == 4 and num_values % 2 == 0:
        return np.stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=2).reshape(len(packed), num_values)
    each = np.unpackbits(packed, axis=1, count=num_values * bits, bitorder="little")
    weights_b = np.uint8(1) << np.arange(bits, dtype=np.uint8)
    values: Bytes = (each.reshape(len(packed), num_values, bits) * weights_b).sum(axis=2, dtype=np.uint8)
    return values
