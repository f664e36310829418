"""Chooses the weights of a matrix that are kept: the lowest scores of every row are pruned, the same number in each.

Scores are compared within a row. For language models this loses less quality than one threshold for the whole matrix
(Sun et al. 2023, section 4), and all rows take the same space.
"""

import numpy as np
import numpy.typing as npt

# R rows, C columns

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def magnitude(weights_RC: Floats) -> Floats:
    """Return |W_ij|."""
    return np.abs(weights_RC)


def wanda(weights_RC: Floats, norms_C: Floats) -> Floats:
    """Return Wanda's score (Sun et al. 2023, eq. 1): |W_ij| * ||X_j||_2, with X_j the j-th column of the inputs."""
    return np.abs(weights_RC) * norms_C


def keep_share(scores_RC: Floats, sparsity: float) -> Mask:
    """Return a mask that prunes the share `sparsity` of each row, rounded to a whole number of weights."""
    return ~_lowest(scores_RC, round(sparsity * scores_RC.shape[1]))


def keep_two_of_four(scores_RC: Floats) -> Mask:
    """Return a mask that prunes the lowest two of every four adjacent columns (2:4); C is a multiple of four."""
    return ~_lowest(scores_RC.reshape(-1, 4), 2).reshape(scores_RC.shape)


def _lowest(scores_RC: Floats, count: int) -> Mask:
    """Return a mask of the `count` lowest of each row; of equals, the leftmost, so that it is deterministic."""
    if count == 0:
        return np.zeros(scores_RC.shape, np.bool_)
    threshold_R1 = np.partition(scores_RC, count - 1, axis=1)[:, count - 1 : count]
    below_RC, equal_RC = scores_RC < threshold_R1, scores_RC == threshold_R1
    missing_R1 = count - below_RC.sum(axis=1, keepdims=True)
    lowest_RC: Mask = below_RC | (equal_RC & (equal_RC.cumsum(axis=1) <= missing_R1))
    return lowest_RC
