"""Scores of a model's parts: how much they add to the residual stream for typical inputs."""

import numpy as np
import numpy.typing as npt

# N tokens, H hidden, R rows, C columns of a matrix, K kept columns, P pruned columns, G groups of adjacent columns

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def block_influence(before_NH: Floats, after_NH: Floats) -> float:
    """Block influence (ShortGPT, Men et al. 2024, eq. 1): 1 - the mean cosine of a layer's input and output.

    A layer that hardly changes the direction of the residual stream is hardly missed.
    """
    products_N = np.einsum("nh,nh->n", before_NH, after_NH, dtype=np.float64)
    lengths_N = np.linalg.norm(before_NH, axis=1).astype(np.float64) * np.linalg.norm(after_NH, axis=1)
    cosines_N = np.divide(products_N, lengths_N, out=np.ones_like(products_N), where=lengths_N > 0)
    return float(1 - cosines_N.mean())


def columns_importance(weights_RC: Floats, moments_CC: Floats) -> npt.NDArray[np.float64]:
    """Return E ||W_c x_c||^2 of each column c, [C]. `moments_CC`: the mean of x x^T over inputs x."""
    squares_C = np.einsum("rc,rc->c", weights_RC, weights_RC, dtype=np.float64)
    importance_C: npt.NDArray[np.float64] = squares_C * moments_CC.diagonal()
    return importance_C


def groups_importance(weights_RC: Floats, moments_CC: Floats, num_groups: int) -> npt.NDArray[np.float64]:
    """Return E ||W_g x_g||^2 of each group g of adjacent columns, [G]."""
    size = weights_RC.shape[1] // num_groups
    groups = [slice(first, first + size) for first in range(0, weights_RC.shape[1], size)]
    return np.array(
        [float(((weights_RC[:, g] @ moments_CC[g, g]) * weights_RC[:, g]).sum(dtype=np.float64)) for g in groups]
    )


def highest(importance: npt.NDArray[np.float64], count: int) -> Mask:
    """Return a mask of the `count` highest values; the first ones of equals."""
    kept = np.zeros(len(importance), np.bool_)
    kept[np.argsort(-importance, kind="stable")[:count]] = True
    return kept


def refit(weights_RC: Floats, moments_CC: Floats, kept_C: Mask, damping: float) -> Floats:
    """Return weights [R, K] of the kept columns whose products are nearest to those of all columns.

    Least squares over the inputs with these moments: W' = W_K + W_P M_PK (M_KK + damping)^-1, with K the kept columns
    and P the pruned ones. `damping`: a share of the mean of the moments' diagonal, which suppresses correlations that
    hold only for the calibration text.
    """
    kept_KK = moments_CC[np.ix_(kept_C, kept_C)].astype(np.float64)
    kept_KK[np.diag_indices_from(kept_KK)] += damping * moments_CC.diagonal().mean(dtype=np.float64) or 1.0
    predicted_KP = np.linalg.solve(kept_KK, moments_CC[np.ix_(kept_C, ~kept_C)].astype(np.float64))
    refitted: Floats = weights_RC[:, kept_C] + (weights_RC[:, ~kept_C] @ predicted_KP.T).astype(np.float32)
    return refitted
