"""GPTQ (Frantar et al. 2023, algorithm 1): rounds a matrix so that its products with typical inputs change little.

Columns are rounded one after another. The columns that are not yet rounded are adjusted to make up for each rounding
error (eq. 2). Groups of values of a row share a scale and a minimum (affine.py), which are fitted to the adjusted
values when the group is reached.
"""

import numpy as np
import numpy.typing as npt

from llmos.engine.compression.quantize.affine import fit, levels
from llmos.engine.compression.quantize.triangles import cholesky_in_place, invert_lower_in_place
from llmos.engine.formats.encodings import Affine

# R rows, C columns, B columns of a group. Matrices are held as [C, R], so that a column is contiguous.

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_DAMPING = 0.01
"""Added to the moments' diagonal, as a share of its mean, so that columns with rare inputs don't take all the error."""


def gptq(weights_RC: Floats, moments_CC: Floats, encoding: Affine) -> Bytes:
    """Return the matrix's rows in this encoding, as bytes. `moments_CC`: the mean of x x^T over inputs x.

    A NaN or infinite value makes the scales of its row NaN from there on. Raises ValueError for moments that aren't
    finite.
    """
    num_rows, num_columns = weights_RC.shape
    factor_CC, importance_C = _inverse_factor(moments_CC)
    left_CR = np.array(weights_RC.T, np.float32, order="C")
    u_RC = np.empty((num_rows, num_columns), np.uint8)
    d_RG, m_RG = (np.empty((num_rows, num_columns // encoding.group), np.float32) for _ in range(2))
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, num_columns, encoding.group):
            here, after = slice(first, first + encoding.group), slice(first + encoding.group, None)
            d_R, m_R = fit(left_CR[here], importance_C[here], encoding.bits)
            u_BR, errors_BR = _round(left_CR[here], d_R, m_R, factor_CC[here, here], encoding.bits)
            left_CR[after] -= factor_CC[here, after].T @ errors_BR
            u_RC[:, here] = u_BR.T
            d_RG[:, first // encoding.group], m_RG[:, first // encoding.group] = d_R, m_R
    return encoding.encode(d_RG, m_RG, u_RC)


def _inverse_factor(moments_CC: Floats) -> tuple[Floats, Floats]:
    """Return the upper triangular U with U^T U = H^-1, and the diagonal of H, the damped moments.

    Row c of U is the adjustment of later columns for an error in column c. With H = R R^T and R upper triangular, U is
    the inverse of R; with rows and columns reversed, R is the lower Cholesky factor.
    """
    if not np.isfinite(moments_CC).all():
        raise ValueError("the moments of a matrix's inputs are not finite")
    reversed_CC = np.array(moments_CC[::-1, ::-1], np.float64, order="C")
    diagonal_C = reversed_CC.diagonal()
    # If all inputs were zero, all columns count alike.
    reversed_CC[np.diag_indices_from(reversed_CC)] += _DAMPING * diagonal_C.mean() or 1.0
    importance_C = reversed_CC.diagonal()[::-1].astype(np.float32)
    invert_lower_in_place(cholesky_in_place(reversed_CC))
    return np.ascontiguousarray(reversed_CC[::-1, ::-1], np.float32), importance_C


def _round(block_BR: Floats, d_R: Floats, m_R: Floats, factor_BB: Floats, bits: int) -> tuple[Floats, Floats]:
    """Return the levels, and each column's error divided by its diagonal entry of U. Adjusts the later columns."""
    u_BR, errors_BR = np.empty_like(block_BR), np.empty_like(block_BR)
    for i, column_R in enumerate(block_BR):
        u_BR[i] = levels(column_R, d_R, m_R, bits)
        errors_BR[i] = (column_R - (u_BR[i] * d_R + m_R)) / factor_BB[i, i]
        block_BR[i + 1 :] -= factor_BB[i, i + 1 :, None] * errors_BR[i]
    return u_BR, errors_BR
