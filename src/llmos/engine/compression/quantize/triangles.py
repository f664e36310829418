"""The factor of a symmetric matrix, and the inverse of a triangular one, in the place of what is given.

numpy's own make several copies, which for a feed-forward layer's moments is more than the rest of the work takes.
"""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_SIZE = 256
"""Rows of a block."""


def lower_factor(matrix: Doubles) -> Doubles:
    """Turn a symmetric positive definite matrix into the lower triangular L with L L^T = matrix, and return it."""
    size = len(matrix)
    for begin in range(0, size, _SIZE):
        here, end = slice(begin, begin + _SIZE), min(begin + _SIZE, size)
        matrix[here, here] = np.linalg.cholesky(matrix[here, here])
        matrix[here, end:] = 0
        matrix[end:, here] = matrix[end:, here] @ np.linalg.inv(matrix[here, here]).T
        for row in range(end, size, _SIZE):
            rows = slice(row, row + _SIZE)
            matrix[rows, end : row + _SIZE] -= matrix[rows, here] @ matrix[end : row + _SIZE, here].T
    return matrix


def inverse_of_lower(matrix: Doubles) -> Doubles:
    """Turn a lower triangular matrix into its inverse, and return it."""
    for begin in range(0, len(matrix), _SIZE):
        here = slice(begin, begin + _SIZE)
        inverse = np.tril(np.linalg.inv(matrix[here, here]))
        # The rows above are done already.
        matrix[here, :begin] = -inverse @ (matrix[here, :begin] @ matrix[:begin, :begin])
        matrix[here, here] = inverse
    return matrix
