"""Tensors as their files store them: bytes, usually memory-mapped, with a type and a shape."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

DType = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0",
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S",
]  # fmt: skip

_BLOCKS: dict[DType, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2),
    "Q8_0": (32, 34), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
    "IQ4_NL": (32, 18), "IQ4_XS": (256, 136), "MXFP4": (32, 17), "NVFP4": (64, 36),
    "TQ1_0": (256, 54), "TQ2_0": (256, 66),
    "IQ1_S": (256, 50), "IQ1_M": (256, 56), "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98), "IQ3_S": (256, 110),
}  # fmt: skip

BLOCK_LENGTH: dict[DType, int] = {dtype: length for dtype, (length, _) in _BLOCKS.items()}
"""Values of a row in one block."""

BLOCK_BYTES: dict[DType, int] = {dtype: num_bytes for dtype, (_, num_bytes) in _BLOCKS.items()}
"""Bytes of one block."""


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A tensor in the encoding of its file."""

    dtype: DType
    shape: tuple[int, ...]
    """Row-major: the last axis is contiguous (a linear layer is [out, in])."""
    data: npt.NDArray[np.uint8]
    """uint8 [rows, bytes per row], usually a view of a memory map. A vector is one row."""

    @property
    def num_rows(self) -> int:
        return int(np.prod(self.shape[:-1], dtype=np.int64)) if len(self.shape) > 1 else 1

    @property
    def num_columns(self) -> int:
        return self.shape[-1]

    @property
    def storage_type(self) -> str:
        """The name of the encoding in the file, for people to read."""
        return self.dtype

    @property
    def data_shape(self) -> tuple[int, int]:
        """Rows, and bytes per row. Of a tensor that is read when its data are accessed, nothing is read for it."""
        rows, row_bytes = self.data.shape
        return rows, row_bytes

    def take_rows(self, rows: Any) -> "RawTensor":
        """Return the tensor of these rows (a slice or an index array). Exact: blocks lie within a row."""
        data = self.data[rows]
        return RawTensor(self.dtype, (data.shape[0], self.shape[-1]), data)


class LazyTensors(Mapping[str, RawTensor], Generic[T]):
    """A mapping of names to tensors that makes each tensor when it is accessed, and keeps none of them."""

    def __init__(
        self,
        infos: Mapping[str, T],
        make: Callable[[str, T], RawTensor],
        dtype: Callable[[str, T], DType] | None = None,
        shape: Callable[[str, T], tuple[int, ...]] | None = None,
    ) -> None:
        """`make` returns the tensor for a name and its info; `dtype` and `shape` return only these, where that is
        cheaper.
        """
        self._infos, self._make, self._dtype, self._shape = infos, make, dtype, shape

    def __getitem__(self, name: str) -> RawTensor:
        return self._make(name, self._infos[name])

    def dtype_of(self, name: str) -> DType:
        return self._dtype(name, self._infos[name]) if self._dtype else self[name].dtype

    def shape_of(self, name: str) -> tuple[int, ...]:
        return self._shape(name, self._infos[name]) if self._shape else self[name].shape

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)


def dtype_of(tensors: Mapping[str, RawTensor], name: str) -> DType:
    """Return the type of a tensor, without making the tensor if possible."""
    return tensors.dtype_of(name) if isinstance(tensors, LazyTensors) else tensors[name].dtype


def shape_of(tensors: Mapping[str, RawTensor], name: str) -> tuple[int, ...]:
    """Return the shape of a tensor, without making the tensor if possible."""
    return tensors.shape_of(name) if isinstance(tensors, LazyTensors) else tensors[name].shape
