"""Matrix products that are the same to the last bit on any number of threads.

A BLAS splits a product by its number of threads, and sums of other lengths round differently. So here it gets one
thread, and products are split into blocks of a fixed size, which the threads of this process share.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from llmos.core.hardware import num_usable_cores

Floats = npt.NDArray[np.float32]

_ROWS = 256
"""Rows of a block."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run numpy's products on the calling thread alone, in the whole process, until the block ends."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def product(left: Floats, right: Floats) -> Floats:
    """Return left @ right, on all cores."""
    output = np.empty((len(left), right.shape[1]), np.float32)

    def block(first: int) -> None:
        rows = slice(first, first + _ROWS)
        with np.errstate(over="ignore", invalid="ignore"):  # np.errstate is local to a thread
            np.matmul(left[rows], right, out=output[rows])

    with ThreadPoolExecutor(num_usable_cores()) as pool:
        list(pool.map(block, range(0, len(left), _ROWS)))
    return output
