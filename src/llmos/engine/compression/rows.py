"""Tensors, a few rows at a time."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from llmos.engine.tensors import RawTensor

Write = Callable[[str, int, npt.NDArray[np.uint8]], None]
"""write(name, first_row, rows): store encoded rows of a tensor. A vector is one row."""

_VALUES_PER_CHUNK = 4 << 20


def row_chunks(tensor: RawTensor) -> Iterator[tuple[int, RawTensor]]:
    """Yield (first row, rows from there on), at most 16 MiB of floats at a time. A vector is one row."""
    if len(tensor.shape) == 1:
        yield 0, RawTensor(tensor.dtype, (1, tensor.shape[0]), tensor.data)
        return
    step = max(_VALUES_PER_CHUNK // tensor.num_columns, 1)
    for first in range(0, tensor.num_rows, step):
        yield first, tensor.take_rows(slice(first, first + step))
