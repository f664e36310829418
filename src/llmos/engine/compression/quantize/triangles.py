"""Blocked Cholesky factorization and inversion of a triangular matrix, both in place.

numpy's functions make several copies, which for the moments of a feed-forward layer take more memory than all else.
"""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_BLOCK = 256
"""Rows and columns of a block."""


def cholesky_in_place(matrix: Doubles) -> Doubles:
    """Overwrite a symmetric positive definite matrix with the lower triangular L of L L^T = matrix, and return it."""
    size = len(matrix)
    for begin in range(0, size, _BLOCK):
        here, end = slice(begin, begin + _BLOCK), min(begin + _BLOCK, size)
        matrix[here, here] = np.linalg.cholesky(matrix[here, here])
        matrix[here, end:] = 0
        matrix[end:, here] = matrix[end:, here] @ np.linalg.inv(matrix[here, here]).T
        for row in range(end, size, _BLOCK):
            rows = slice(row, row + _BLOCK)
            matrix[rows, end : row + _BLOCK] -= matrix[rows, here] @ matrix[end : row + _BLOCK, here].T
    return matrix


def invert_lower_in_place(matrix: Doubles) -> Doubles:
    """Overwrite a lower triangular matrix with its inverse, and return it."""
    for begin in range(0, len(matrix), _BLOCK):
        here = slice(begin, begin + _BLOCK)
        inverse = np.tril(np.linalg.inv(matrix[here, here]))
        # The rows above are inverted already.
        matrix[here, :begin] = -inverse @ (matrix[here, :begin] @ matrix[:begin, :begin])
        matrix[here, here] = inverse
    return matrix
