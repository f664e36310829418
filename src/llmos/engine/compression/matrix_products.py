"""Matrix products whose last digit doesn't depend on how many threads there are.

A BLAS cuts a product by the threads that it has, and sums of other lengths end in other digits. So it gets one thread
here, and products are cut into blocks of one size, which the threads of this process share.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float32]

_ROWS = 256
"""Of a block."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep numpy's products on the thread that asks for them, in the whole process, until the block ends."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def product(left: Floats, right: Floats) -> Floats:
    """Return left @ right, on all cores."""
    made = np.empty((len(left), right.shape[1]), np.float32)

    def block(first: int) -> None:
        rows = slice(first, first + _ROWS)
        with np.errstate(over="ignore", invalid="ignore"):  # which threads don't have of each other
            np.matmul(left[rows], right, out=made[rows])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(block, range(0, len(left), _ROWS)))
    return made
