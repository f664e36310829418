"""Which weights of a matrix stay, by a score for each: the lowest of every row go, exactly as many as asked for.

Rows are compared with themselves alone. For language models that costs less than one threshold for the whole matrix
(Sun et al. 2023, section 4), and every row then takes as much room as any other.
"""

import numpy as np
import numpy.typing as npt

# R rows, C columns, N groups of four columns

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def magnitude(weights_RC: Floats) -> Floats:
    """Return |W_ij|."""
    return np.abs(weights_RC)


def wanda(weights_RC: Floats, norms_C: Floats) -> Floats:
    """Wanda (Sun et al. 2023, eq. 1): |W_ij| * ||X_j||_2, with X_j the j-th column of the inputs."""
    return np.abs(weights_RC) * norms_C


def share_kept(scores_RC: Floats, sparsity: float) -> Mask:
    """Return what stays where `sparsity` of each row goes, to the nearest whole number of weights."""
    return ~_lowest(scores_RC, round(sparsity * scores_RC.shape[1]))


def two_of_four_kept(scores_RC: Floats) -> Mask:
    """Return what stays where of every four columns side by side the lowest two go; C is a multiple of four."""
    return ~_lowest(scores_RC.reshape(-1, 4), 2).reshape(scores_RC.shape)


def _lowest(scores_RC: Floats, count: int) -> Mask:
    """Return the `count` lowest of each row; of equals, those on the left. The same on every machine."""
    if count == 0:
        return np.zeros(scores_RC.shape, np.bool_)
    threshold_R1 = np.partition(scores_RC, count - 1, axis=1)[:, count - 1 : count]
    below_RC, equal_RC = scores_RC < threshold_R1, scores_RC == threshold_R1
    missing_R1 = count - below_RC.sum(axis=1, keepdims=True)
    lowest_RC: Mask = below_RC | (equal_RC & (equal_RC.cumsum(axis=1) <= missing_R1))
    return lowest_RC
