"""Plain rounding to a file's Q8_0: 32 values share a scale, a 16-bit float. As ggml does it."""

import numpy as np
import numpy.typing as npt

from llmos.engine.tensors import BLOCK_LENGTH, RawTensor


def round_to_q8_0(weights_RC: npt.NDArray[np.float32]) -> RawTensor:
    """Return the matrix as Q8_0; C is a multiple of 32. What is no number makes its block's scale so."""
    num_rows = len(weights_RC)
    values_NX = weights_RC.reshape(-1, BLOCK_LENGTH["Q8_0"])
    with np.errstate(invalid="ignore", over="ignore"):
        d_N1 = np.abs(values_NX).max(axis=1, keepdims=True) / 127
        scaled_NX = values_NX * np.divide(1, d_N1, out=np.zeros_like(d_N1), where=d_N1 > 0)
        # Halves away from zero, which is how C rounds.
        rounded_NX = np.copysign(np.floor(np.abs(scaled_NX) + np.float32(0.5)), scaled_NX)
        bytes_NX = np.nan_to_num(rounded_NX, nan=0).astype(np.int8).view(np.uint8)
        scales_N2 = d_N1.astype("<f2").view(np.uint8)
    blocks = np.concatenate([scales_N2, bytes_NX], axis=1)
    return RawTensor("Q8_0", weights_RC.shape, blocks.reshape(num_rows, -1))
