"""Tensors a few rows at a time."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from llmos.engine.tensors import RawTensor

Write = Callable[[str, int, npt.NDArray[np.uint8]], None]
"""Told a tensor's name, the first row that is meant, and rows as its encoding has them; a vector is one row."""

_VALUES_AT_ONCE = 4 << 20


def runs(tensor: RawTensor) -> Iterator[tuple[int, RawTensor]]:
    """Yield the first row, and the tensor of some rows from there on, which together are 16 MiB of floats at most."""
    if len(tensor.shape) == 1:
        yield 0, RawTensor(tensor.dtype, (1, tensor.shape[0]), tensor.data)
        return
    step = max(_VALUES_AT_ONCE // tensor.num_columns, 1)
    for first in range(0, tensor.num_rows, step):
        yield first, tensor.take_rows(slice(first, first + step))
