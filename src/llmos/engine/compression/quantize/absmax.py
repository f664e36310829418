"""Symmetric rounding: the largest magnitude sets the scale, and there is no minimum, so that zero stays zero.

q = round(w / d)     d = max |w| / (2^(b-1) - 1), a 16-bit float     w' = d q
"""

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.encodings import AbsMax

# R rows, C columns, G groups of a row, B columns of a group

Floats = npt.NDArray[np.float32]


def round_absmax(weights_RC: Floats, encoding: AbsMax) -> npt.NDArray[np.uint8]:
    """Return the rows in this encoding, as bytes."""
    num_rows, num_columns = weights_RC.shape
    top = 2 ** (encoding.bits - 1) - 1
    grouped_RGB = weights_RC.reshape(num_rows, -1, encoding.group or num_columns)
    with np.errstate(over="ignore", invalid="ignore"):
        d_RG1 = (np.abs(grouped_RGB).max(axis=2, keepdims=True) / top).astype(np.float16).astype(np.float32)
        scaled_RGB = grouped_RGB * np.divide(1, d_RG1, out=np.zeros_like(d_RG1), where=d_RG1 > 0)
        # If the scale was rounded down to 16 bits, the largest value would be one step too many.
        q_RC = np.clip(np.rint(scaled_RGB), -top, top).astype(np.int8).reshape(num_rows, num_columns)
    return encoding.encode(d_RG1[:, :, 0], q_RC)
