"""Groups of values w = d u + m, with u an integer of few bits: fits the scale d and the minimum m by least squares."""

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.encodings import Affine, Blocks, Encoding

# R rows, C columns, G groups of a row, B columns of a group

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_CUTS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
"""Shares of a group's range that are cut off at both ends, one try for each. Clipping one or two values often costs
less than rounding all others to a coarser grid."""
_REFINEMENTS = 2


def round_affine(weights_RC: Floats, importance_C: Floats, encoding: Affine) -> Bytes:
    """Return the rows in this encoding, as bytes; each group with the least squared error that fit() finds.

    `importance_C`: the weight of each column's squared error.
    """
    num_rows, num_columns = weights_RC.shape
    u_RC = np.empty((num_rows, num_columns), np.uint8)
    d_RG, m_RG = (np.empty((num_rows, num_columns // encoding.group), np.float32) for _ in range(2))
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, num_columns, encoding.group):
            here = slice(first, first + encoding.group)
            values_BR = np.ascontiguousarray(weights_RC[:, here].T)
            d_R, m_R = fit(values_BR, importance_C[here], encoding.bits)
            u_RC[:, here] = levels(values_BR, d_R, m_R, encoding.bits).T
            d_RG[:, first // encoding.group], m_RG[:, first // encoding.group] = d_R, m_R
    return encoding.encode(d_RG, m_RG, u_RC)


def fit(values_BR: Floats, importance_B: Floats, bits: int) -> tuple[Floats, Floats]:
    """Return d and m, [R] each, of one group of B columns in every row, rounded to the 16 bits in which they are kept.

    Tries several ranges and refines the best one by weighted least squares: with x relative to its weighted mean and
    the levels u given, d = sum(w u x) / (sum(w u u) - sum(w u)^2 / sum(w)), m = -d sum(w u) / sum(w), and the squared
    error is sum(w x x) - d sum(w u x).
    """
    weight_B = importance_B / importance_B.sum()
    mean_R = weight_B @ values_BR
    x_BR = values_BR - mean_R
    low_R, range_R = x_BR.min(axis=0), np.ptp(x_BR, axis=0)
    best_d_R, best_m_R, best_gain_R = np.zeros_like(mean_R), np.zeros_like(mean_R), np.zeros_like(mean_R)
    for i in range(len(_CUTS) + _REFINEMENTS):
        if i < len(_CUTS):
            d_R, m_R = range_R * (1 - 2 * _CUTS[i]) / (2**bits - 1), low_R + range_R * _CUTS[i]
        else:
            d_R, m_R = best_d_R, best_m_R
        u_BR = levels(x_BR, d_R, m_R, bits)
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
    # A NaN in a group makes its mean NaN, and so its minimum.
    return _as_half(best_d_R), _as_half(best_m_R + mean_R)


def levels(values: Floats, d_R: Floats, m_R: Floats, bits: int) -> Floats:
    """Return (values - m) / d, rounded to whole numbers from 0 to 2^bits - 1; 0 for NaN."""
    inverse_R = np.divide(1, d_R, out=np.zeros_like(d_R), where=d_R > 0)
    scaled = (values - m_R) * inverse_R
    np.rint(scaled, out=scaled)
    np.fmax(scaled, 0, out=scaled)
    np.fmin(scaled, 2**bits - 1, out=scaled)
    return scaled


def _as_half(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)


def affine_of(encoding: Encoding) -> Affine | None:
    """Return the affine encoding that has the same values; None if there is none."""
    if isinstance(encoding, Affine):
        return encoding
    return Affine(4, 32) if encoding == Blocks("Q4_1") else None


def to_encoding(rows: Bytes, affine: Affine, encoding: Encoding, num_columns: int) -> Bytes:
    """Return rows of `affine` in the encoding that it stands for; see affine_of()."""
    return rows if encoding == affine else affine.decode(rows, num_columns).data
