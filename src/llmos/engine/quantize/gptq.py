"""GPTQ (Frantar et al. 2023): a matrix in 4 bits whose products with typical inputs stay near the true ones.

Columns are rounded one after another, and what rounding one changes in the products is made up for by the columns that
are still to come. The format is a file's Q4_1: 32 values w = d * u + m, with u from 0 to 15 and d and m as 16-bit
floats. A block's d and m are fitted when its turn comes, to the values that the columns before it left it with.
"""

import numpy as np
import numpy.typing as npt

from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, RawTensor

# R rows, C columns, B columns of a block. Matrices are kept as [C, R] here, so that a column lies in one piece.

Floats = npt.NDArray[np.float32]

_SIZE = BLOCK_LENGTH["Q4_1"]
_DAMPING = 0.01
"""Added to the moments' diagonal, as a share of its mean: inputs that were hardly seen shall not bear everything."""
_CUTS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
"""Shares of a block's range that are cut off at both ends, one try for each: one or two values that are clipped often
cost less than all others on a coarser grid."""
_REFINEMENTS = 2


def gptq(weights_RC: Floats, moments_CC: Floats) -> RawTensor:
    """Return the matrix as Q4_1. `moments_CC`: the mean of x x^T over inputs x; C is a multiple of 32.

    A value that is no number, or infinite, makes its row so from there on: nibbles can't say it, but a scale can.
    Raises ValueError for moments that aren't finite.
    """
    num_rows, num_columns = weights_RC.shape
    damped_CC = _damped(moments_CC)
    factor_CC, importance_C = _inverse_factor(damped_CC), damped_CC.diagonal().astype(np.float32)
    left_CR = np.array(weights_RC.T, np.float32, order="C")
    blocks = np.empty((num_rows, num_columns // _SIZE, BLOCK_BYTES["Q4_1"]), np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, num_columns, _SIZE):
            here, after = slice(first, first + _SIZE), slice(first + _SIZE, None)
            d_R, m_R = _fit(left_CR[here], importance_C[here])
            nibbles_BR, errors_BR = _round(left_CR[here], d_R, m_R, factor_CC[here, here])
            left_CR[after] -= factor_CC[here, after].T @ errors_BR
            blocks[:, first // _SIZE] = _packed(d_R, m_R, nibbles_BR)
    return RawTensor("Q4_1", weights_RC.shape, blocks.reshape(num_rows, -1))


def _damped(moments_CC: Floats) -> npt.NDArray[np.float64]:
    if not np.isfinite(moments_CC).all():
        raise ValueError("the moments of a matrix's inputs are not finite")
    damped_CC = moments_CC.astype(np.float64)
    # Where no input was ever anything but zero, all columns count alike.
    damped_CC[np.diag_indices_from(damped_CC)] += _DAMPING * damped_CC.diagonal().mean() or 1.0
    return damped_CC


def _inverse_factor(damped_CC: npt.NDArray[np.float64]) -> Floats:
    """Return the upper triangular U with U^T U = H^-1: row c says what an error in column c asks of those behind it.

    With H = R R^T, R upper triangular, U is the inverse of R; numpy's factor is a lower one, hence the turning.
    """
    upper_CC = np.linalg.cholesky(damped_CC[::-1, ::-1])[::-1, ::-1]
    return np.triu(np.linalg.inv(upper_CC)).astype(np.float32)


def _fit(values_BR: Floats, importance_B: Floats) -> tuple[Floats, Floats]:
    """Return d and m of each row's block, rounded as a file has them, with the least squared error that is found.

    Values are taken relative to their weighted mean, which makes least squares short: for given nibbles u,
    d = sum(w u x) / (sum(w u u) - sum(w u)^2 / sum(w)), m = -d sum(w u) / sum(w), and the squared error is
    sum(w x x) - d sum(w u x).
    """
    weight_B = importance_B / importance_B.sum()
    mean_R = weight_B @ values_BR
    x_BR = values_BR - mean_R
    low_R, range_R = x_BR.min(axis=0), np.ptp(x_BR, axis=0)
    best_d_R, best_m_R, best_gain_R = np.zeros_like(mean_R), np.zeros_like(mean_R), np.zeros_like(mean_R)
    for i in range(len(_CUTS) + _REFINEMENTS):
        if i < len(_CUTS):
            d_R, m_R = range_R * (1 - 2 * _CUTS[i]) / 15, low_R + range_R * _CUTS[i]
        else:
            d_R, m_R = best_d_R, best_m_R
        u_BR = _nibbles(x_BR, d_R, m_R)
        weighted_BR = u_BR * weight_B[:, None]
        sum_R = weighted_BR.sum(axis=0)
        products_R = np.einsum("br,br->r", weighted_BR, x_BR)
        spread_R = np.einsum("br,br->r", weighted_BR, u_BR) - sum_R * sum_R
        fitted_R = np.divide(products_R, spread_R, out=np.zeros_like(spread_R), where=spread_R > 0)
        gain_R = fitted_R * products_R
        better_R = gain_R > best_gain_R
        best_gain_R = np.where(better_R, gain_R, best_gain_R)
        best_d_R = np.where(better_R, fitted_R, best_d_R)
        best_m_R = np.where(better_R, -fitted_R * sum_R, best_m_R)
    # A block with a value that is no number has such a mean, and with it such a minimum.
    return _as_half(best_d_R), _as_half(best_m_R + mean_R)


def _round(block_BR: Floats, d_R: Floats, m_R: Floats, factor_BB: Floats) -> tuple[Floats, Floats]:
    """Return the nibbles, and each column's error over its own share of U. Changes the block's later columns."""
    nibbles_BR, errors_BR = np.empty_like(block_BR), np.empty_like(block_BR)
    for i, column_R in enumerate(block_BR):
        nibbles_BR[i] = _nibbles(column_R, d_R, m_R)
        errors_BR[i] = (column_R - (nibbles_BR[i] * d_R + m_R)) / factor_BB[i, i]
        block_BR[i + 1 :] -= factor_BB[i, i + 1 :, None] * errors_BR[i]
    return nibbles_BR, errors_BR


def _nibbles(values: Floats, d_R: Floats, m_R: Floats) -> Floats:
    """Return the nearest whole numbers from 0 to 15; 0 for what is no number."""
    inverse_R = np.divide(1, d_R, out=np.zeros_like(d_R), where=d_R > 0)
    scaled = (values - m_R) * inverse_R
    np.rint(scaled, out=scaled)
    np.fmax(scaled, 0, out=scaled)
    np.fmin(scaled, 15, out=scaled)
    return scaled


def _packed(d_R: Floats, m_R: Floats, nibbles_BR: Floats) -> npt.NDArray[np.uint8]:
    """Return the blocks' bytes: d, m, then byte j with value j (low nibble) and j + 16 (high)."""
    u_BR = nibbles_BR.astype(np.uint8)
    scales_R2 = np.stack([d_R, m_R], axis=1).astype("<f2")
    bytes_R = (u_BR[: _SIZE // 2] | (u_BR[_SIZE // 2 :] << np.uint8(4))).T
    return np.concatenate([scales_R2.view(np.uint8), bytes_R], axis=1)


def _as_half(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)
