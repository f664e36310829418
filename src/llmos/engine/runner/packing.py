"""Packs a model's matrices into the layout of the kernels, by a plan. Knows no file.

The plan needs only names, shapes and dtypes, so the memory is known exactly before a weight is read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from llmos.core.progress import Progress, no_progress
from llmos.engine import _native
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

Weights = Literal["auto", "f32", "int8", "int4"]
Packing = Literal[
    "bytes", "nibbles", "affine_nibbles", "floats", "q4_k", "q5_k", "q6_k", "q5_0", "q5_1", "iq4_nl", "iq4_xs", "mxfp4"
]
"""Layout of a packed matrix; see csrc/packing.h."""

Memory = npt.NDArray[np.uint8]

PACKING = "packing the weights"
_PACKING_OF: dict[DType, Packing] = {
    "Q8_0": "bytes", "Q4_0": "nibbles", "Q4_1": "affine_nibbles", "Q5_0": "q5_0", "Q5_1": "q5_1",
    "Q3_K": "q6_k", "Q4_K": "q4_k", "Q5_K": "q5_k", "Q6_K": "q6_k",
    "IQ4_NL": "iq4_nl", "IQ4_XS": "iq4_xs", "MXFP4": "mxfp4",
}  # fmt: skip
"""The packings that keep exactly the values of a file's type."""
_FOUR_BITS: tuple[DType, ...] = ("Q4_0", "Q4_1", "Q4_K", "IQ4_NL", "IQ4_XS", "MXFP4")

_BYTES_AT_ONCE = 64 << 20
"""Bytes of rows that are packed by one call of C++: many small matrices at once, so that it seldom waits for the GIL,
and parts of a large one, so that memory never holds a second copy of it as floats."""

_EXACT = ("router", "step", "beta")
"""Matrices that are always packed as floats."""

_GROUP_ROWS = 16
"""Rows that are interleaved; see csrc/matrix.h."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One matrix, and its place in the packed memory."""

    tensor: str
    rows: int
    columns: int
    dtype: DType
    """Dtype of the rows that are packed: the file's, or one that they are converted to."""
    is_exact: bool
    """The file has this dtype, so no value changes."""
    packing: Packing
    offset: int

    @property
    def num_bytes(self) -> int:
        return _native.packed_bytes(self.packing, self.rows, self.columns)

    @property
    def label(self) -> str:
        return self.tensor.removesuffix(".weight")

    def for_native(self) -> tuple[int, str, int, str, int, int, int]:
        """Return the arguments of _native's place()."""
        return (*slot_of(self.tensor), self.packing, self.rows, self.columns, self.offset)


@dataclass(frozen=True, slots=True)
class Plan:
    """The layout of all packed matrices."""

    placements: tuple[Placement, ...]
    """Ascending by offset, without gaps."""
    num_bytes: int


def plan_matrices(
    shapes: Mapping[str, tuple[int, ...]], dtype_of: Callable[[str], DType], weights_of: Callable[[str], Weights]
) -> Plan:
    """Return the layout of these matrices. `dtype_of`, `weights_of`: a tensor's dtype in the file, and its option."""
    placements, offset = [], 0
    for name, (rows, columns) in shapes.items():
        dtype, is_exact, packing = _packing_of(name, columns, dtype_of(name), weights_of(name))
        placements.append(Placement(name, rows, columns, dtype, is_exact, packing, offset))
        offset += placements[-1].num_bytes
    return Plan(tuple(placements), offset)


def pack(plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool, progress: Progress = no_progress) -> Memory:
    """Return memory with all packed matrices. Raises ValueError for a tensor whose shape is not the plan's."""
    memory = _native.memory(plan.num_bytes)
    for batch in _batches(plan, tensors, pool):
        _native.pack_rows(pool, batch, memory)
        progress(PACKING, batch[-1].end, plan.num_bytes)
    return memory


def pack_in_chunks(plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool) -> Iterator[Memory]:
    """Yield the same bytes in chunks, to be written elsewhere. Raises as pack() does."""
    for batch in _batches(plan, tensors, pool):
        begin = batch[0].offset
        chunk = _native.memory(batch[-1].end - begin)
        _native.pack_rows(pool, [piece._replace(offset=piece.offset - begin) for piece in batch], chunk)
        yield chunk


class _Piece(NamedTuple):
    """Whole groups of rows of a matrix, as _native.pack_rows() takes them."""

    name: str
    dtype: DType
    packing: Packing
    columns: int
    data: npt.NDArray[np.uint8]
    offset: int

    @property
    def end(self) -> int:
        row_bytes = self.columns // BLOCK_LENGTH[self.dtype] * BLOCK_BYTES[self.dtype]
        return self.offset + _native.packed_bytes(self.packing, self.data.nbytes // row_bytes, self.columns)


def _batches(plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool) -> Iterator[list[_Piece]]:
    """Yield the pieces for one call of _native.pack_rows() each."""
    batch: list[_Piece] = []
    num_bytes = 0
    for placement in plan.placements:
        for piece in _pieces(placement, tensors[placement.tensor], pool):
            batch.append(piece)
            num_bytes += piece.data.nbytes
            if num_bytes >= _BYTES_AT_ONCE:
                yield batch
                batch, num_bytes = [], 0
    if batch:
        yield batch


def _pieces(placement: Placement, tensor: RawTensor, pool: _native.Pool) -> Iterator[_Piece]:
    """Yield the matrix in pieces of at most _BYTES_AT_ONCE. Raises ValueError for a tensor of another shape."""
    name, rows, columns = placement.label, placement.rows, placement.columns
    if tensor.shape != (rows, columns):
        found = " x ".join(map(str, tensor.shape))
        raise ValueError(f"{name} is {found}; the spec asks for {rows} x {columns}.")
    if tensor.data_shape[0] != rows:
        raise ValueError(f"{name}: the data has another size than {rows} rows.")
    group_bytes = _native.packed_bytes(placement.packing, _GROUP_ROWS, columns)
    # Rows that are converted are floats in between.
    row_bytes = tensor.data_shape[1] if placement.is_exact else 4 * columns
    step = max(_BYTES_AT_ONCE // max(row_bytes, 1) // _GROUP_ROWS, 1) * _GROUP_ROWS
    for first in range(0, rows, step):
        part = tensor.take_rows(slice(first, first + step))
        if placement.is_exact:
            data = np.ascontiguousarray(part.data)
        elif placement.dtype == "Q4_1":
            data = _native.fit_q4_1(pool, dequantize(part))
        else:
            data = dequantize(part).view(np.uint8)
        offset = placement.offset + first // _GROUP_ROWS * group_bytes
        yield _Piece(name, placement.dtype, placement.packing, columns, data, offset)


def _packing_of(name: str, columns: int, dtype: DType, weights: Weights) -> tuple[DType, bool, Packing]:
    """Return the dtype of the rows that are packed, whether it is the file's, and the packing."""
    layer, slot, _ = slot_of(name)
    # These are small. Rounding a router sends tokens to other experts; errors of the others add up in states.
    if weights == "f32" or slot in _EXACT:
        return "F32", False, "floats"
    # The embedding and the head stay 8-bit: every logit depends on the head, and every token on its embedding row.
    # The layers' own embeddings are as large as all layers together, and each is but a part of what a layer reads.
    is_fitted = weights == "int4" and (layer >= 0 or slot == "layer_embed") and columns % BLOCK_LENGTH["Q4_1"] == 0
    if dtype in (_FOUR_BITS if is_fitted else _PACKING_OF) and weights != "int8":
        return dtype, True, _PACKING_OF[dtype]
    return ("Q4_1", False, "affine_nibbles") if is_fitted else ("F32", False, "bytes")


def slot_of(name: str) -> tuple[int, str, int]:
    """Return the layer (-1 outside of the layers), the native name and the index within the layer (-1 for none):
    "layers.3.q.bias" -> (3, "q_bias", -1), "layers.3.up.5.weight" -> (3, "up", 5)."""
    *path, kind = name.split(".")
    layer, parts = (int(path[1]), path[2:]) if path[0] == "layers" else (-1, path)
    index = int(parts[1]) if len(parts) > 1 else -1
    return layer, parts[0] if kind == "weight" else f"{parts[0]}_bias", index
