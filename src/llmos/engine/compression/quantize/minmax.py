"""Min-max quantization: equal steps from the smallest value to the largest.

    Q_q = round((Q - min Q) / (max Q - min Q) * (2^b - 1))          b bits, from 2 to 8
    Q'  = Q_q * (max Q - min Q) / (2^b - 1) + min Q

The error is at most half a step, |Q' - Q| <= (max Q - min Q) / (2 (2^b - 1)), plus the rounding of Q' to 32-bit
floats. If all values are equal, Q_q is 0 and Q' is exact.
"""

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.encodings import MinMax

# R rows, C columns, G groups of a row, B columns of a group

Floats = npt.NDArray[np.float32]


def round_minmax(weights_RC: Floats, encoding: MinMax) -> npt.NDArray[np.uint8]:
    """Return the rows in this encoding, as bytes. With one range per tensor, the encoding has it."""
    num_rows, num_columns = weights_RC.shape
    grouped_RGB = weights_RC.reshape(num_rows, -1, encoding.group or num_columns)
    if encoding.low is not None and encoding.high is not None:
        low_RG1 = np.full((1, 1, 1), encoding.low, np.float32)
        high_RG1 = np.full((1, 1, 1), encoding.high, np.float32)
    else:
        low_RG1, high_RG1 = grouped_RGB.min(axis=2, keepdims=True), grouped_RGB.max(axis=2, keepdims=True)
    # In 64 bits, the quotient of two 32-bit differences is exact enough to be rounded as the formula says.
    range_RG1 = high_RG1.astype(np.float64) - low_RG1
    scaled_RGB = grouped_RGB - low_RG1.astype(np.float64)
    with np.errstate(invalid="ignore"):
        scaled_RGB *= np.divide(2**encoding.bits - 1, range_RG1, out=np.zeros_like(range_RG1), where=range_RG1 > 0)
        u_RC = np.rint(scaled_RGB, out=scaled_RGB).astype(np.uint8).reshape(num_rows, num_columns)
    return encoding.encode(low_RG1[:, :, 0], high_RG1[:, :, 0], u_RC)
