"""Rounding to GGUF's blocks: 32 values share a scale, a 16-bit float, and in Q4_1 also a minimum."""

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.tensors import BLOCK_LENGTH, RawTensor


def round_to_q8_0(weights_RC: npt.NDArray[np.float32]) -> RawTensor:
    """Return the matrix as Q8_0, rounded as ggml does; C is a multiple of 32. A NaN makes its block's scale NaN."""
    num_rows = len(weights_RC)
    values_NX = weights_RC.reshape(-1, BLOCK_LENGTH["Q8_0"])
    with np.errstate(invalid="ignore", over="ignore"):
        d_N1 = np.abs(values_NX).max(axis=1, keepdims=True) / 127
        scaled_NX = values_NX * np.divide(1, d_N1, out=np.zeros_like(d_N1), where=d_N1 > 0)
        # Rounds halves away from zero, as C does.
        rounded_NX = np.copysign(np.floor(np.abs(scaled_NX) + np.float32(0.5)), scaled_NX)
        bytes_NX = np.nan_to_num(rounded_NX, nan=0).astype(np.int8).view(np.uint8)
        scales_N2 = d_N1.astype("<f2").view(np.uint8)
    blocks = np.concatenate([scales_N2, bytes_NX], axis=1)
    return RawTensor("Q8_0", weights_RC.shape, blocks.reshape(num_rows, -1))


def round_to_q4_0(weights_RC: npt.NDArray[np.float32]) -> RawTensor:
    """Return the matrix as Q4_0, rounded as ggml does: the value of the largest magnitude becomes exactly -8 d."""
    num_rows = len(weights_RC)
    values_NX = weights_RC.reshape(-1, BLOCK_LENGTH["Q4_0"])
    with np.errstate(invalid="ignore", over="ignore"):
        largest_N1 = np.take_along_axis(values_NX, np.abs(values_NX).argmax(axis=1, keepdims=True), axis=1)
        d_N1 = largest_N1 / -8
        inverse_N1 = np.divide(1, d_N1, out=np.zeros_like(d_N1), where=d_N1 != 0)
        scaled_NX = np.trunc(values_NX.astype(np.float64) * inverse_N1.astype(np.float64) + 8.5)
        u_NX = np.nan_to_num(np.clip(scaled_NX, 0, 15), nan=0).astype(np.uint8)
        scales_N2 = d_N1.astype("<f2").view(np.uint8)
    blocks = np.concatenate([scales_N2, u_NX[:, :16] | (u_NX[:, 16:] << np.uint8(4))], axis=1)
    return RawTensor("Q4_0", weights_RC.shape, blocks.reshape(num_rows, -1))


def round_to_q4_1(weights_RC: npt.NDArray[np.float32], pool: _native.Pool) -> RawTensor:
    """Return the matrix as Q4_1, each block fitted for the least squared error; C is a multiple of 32."""
    return RawTensor("Q4_1", weights_RC.shape, _native.fit_q4_1(pool, weights_RC))
