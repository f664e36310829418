"""Min-max quantization: equal steps from the smallest value to the largest.

    Q_q = round((Q - min Q) / (max Q - min Q) * (2^b - 1))          b bits, from 2 to 8
    Q'  = Q_q * (max Q - min Q) / (2^b - 1) + min Q

Q_q is the result of exact arithmetic on the 32-bit floats. A value halfway between two levels gets the even one.

The error is at most half a step, |Q' - Q| <= (max Q - min Q) / (2 (2^b - 1)), plus the rounding of Q' to 32-bit
floats. If all values are equal, Q_q is 0 and Q' is exact.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.encodings import MinMax

# R rows, C columns, G groups of a row, B columns of a group, T values that are about halfway between two levels

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_NEAR = 1e-9
"""An upper bound for the rounding error of a value's position between two levels in 64-bit arithmetic, which is at most
2^8 x 2^-50."""


def round_minmax(weights_RC: Floats, encoding: MinMax) -> npt.NDArray[np.uint8]:
    """Return the rows in this encoding, as bytes. With one range per tensor, the encoding has it."""
    num_rows, num_columns = weights_RC.shape
    grouped_RGB = weights_RC.reshape(num_rows, -1, encoding.group or num_columns)
    if encoding.low is not None and encoding.high is not None:
        low_RG1 = np.full((1, 1, 1), encoding.low, np.float32)
        high_RG1 = np.full((1, 1, 1), encoding.high, np.float32)
    else:
        low_RG1, high_RG1 = grouped_RGB.min(axis=2, keepdims=True), grouped_RGB.max(axis=2, keepdims=True)
    u_RC = _levels(grouped_RGB, low_RG1, high_RG1, 2**encoding.bits - 1).reshape(num_rows, num_columns)
    return encoding.encode(low_RG1[:, :, 0], high_RG1[:, :, 0], u_RC)


def _levels(values_RGB: Floats, low_RG1: Floats, high_RG1: Floats, top: int) -> npt.NDArray[np.uint8]:
    """Return the level of each value, 0 to `top`."""
    range_RG1 = high_RG1.astype(np.float64) - low_RG1
    with np.errstate(invalid="ignore"):
        scaled_RGB = values_RGB - low_RG1.astype(np.float64)
        scaled_RGB *= np.divide(top, range_RG1, out=np.zeros_like(range_RG1), where=range_RG1 > 0)
        u_RGB = np.floor(scaled_RGB)
        scaled_RGB -= u_RGB
        is_near_RGB = np.abs(scaled_RGB - 0.5) < _NEAR
        u_RGB += scaled_RGB > 0.5
        if is_near_RGB.any():
            shape = values_RGB.shape
            value_T, low_T, high_T, found_T = (
                np.broadcast_to(each, shape)[is_near_RGB] for each in (values_RGB, low_RG1, high_RG1, u_RGB)
            )
            below_T = found_T - (scaled_RGB[is_near_RGB] > 0.5)
            u_RGB[is_near_RGB] = below_T + _rounds_up(value_T, low_T, high_T, below_T, top)
        return u_RGB.astype(np.uint8)


def _rounds_up(value_T: Floats, low_T: Floats, high_T: Floats, below_T: Doubles, top: int) -> npt.NDArray[np.bool_]:
    """Return whether values about halfway between the levels `below` and `below` + 1 belong to the upper one.

    Compares 2 top (value - low) with (2 below + 1) (high - low) exactly.
    """
    offset_T, range_T = value_T.astype(np.float64) - low_T, high_T.astype(np.float64) - low_T
    factor_T = 2 * below_T + 1
    side_T = np.sign(2 * top * offset_T - factor_T * range_T)
    # Differences of most weights have few digits. Then the products are exact, and so is the sign of their difference.
    is_exact_T = _is_short(offset_T) & _is_short(range_T)
    is_exact_T &= _is_difference(offset_T, value_T, low_T) & _is_difference(range_T, high_T, low_T)
    for i in np.flatnonzero(~is_exact_T):
        value, low, high = (Fraction(float(each[i])) for each in (value_T, low_T, high_T))
        difference = 2 * top * (value - low) - int(factor_T[i]) * (high - low)
        side_T[i] = (difference > 0) - (difference < 0)
    return np.where(side_T == 0, below_T % 2 == 1, side_T > 0)


def _is_difference(result_T: Doubles, first_T: Floats, second_T: Floats) -> npt.NDArray[np.bool_]:
    """Return whether the rounded result of `first` - `second` is exact (Knuth's TwoSum: its error is 0)."""
    a_T, b_T = first_T.astype(np.float64), -second_T.astype(np.float64)
    virtual_T = result_T - a_T
    error_T: Doubles = (a_T - (result_T - virtual_T)) + (b_T - virtual_T)
    return np.equal(error_T, 0)


def _is_short(values_T: Doubles) -> npt.NDArray[np.bool_]:
    """Return whether the product of a value and an integer of 9 bits is exact: it has at most 44 digits of 53."""
    splitter = 2.0**9 + 1
    large_T = values_T * splitter
    kept_T: Doubles = large_T - (large_T - values_T)
    return np.equal(kept_T, values_T)
