"""Tensors as their files store them: bytes, usually memory-mapped, with a type and a shape."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

DType = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"
]  # fmt: skip

BLOCK_LENGTH: dict[DType, int] = {
    "F32": 1, "F16": 1, "BF16": 1,
    "Q8_0": 32, "Q4_0": 32, "Q4_1": 32, "Q5_0": 32, "Q5_1": 32,
    "Q4_K": 256, "Q5_K": 256, "Q6_K": 256,
}  # fmt: skip
"""Values of a row in one block."""

BLOCK_BYTES: dict[DType, int] = {
    "F32": 4, "F16": 2, "BF16": 2,
    "Q8_0": 34, "Q4_0": 18, "Q4_1": 20, "Q5_0": 22, "Q5_1": 24,
    "Q4_K": 144, "Q5_K": 176, "Q6_K": 210,
}  # fmt: skip
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
    ) -> None:
        """`make` returns the tensor for a name and its info; `dtype` returns only its type, where that is cheaper."""
        self._infos, self._make, self._dtype = infos, make, dtype

    def __getitem__(self, name: str) -> RawTensor:
        return self._make(name, self._infos[name])

    def dtype_of(self, name: str) -> DType:
        return self._dtype(name, self._infos[name]) if self._dtype else self[name].dtype

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)


def dtype_of(tensors: Mapping[str, RawTensor], name: str) -> DType:
    """Return the type of a tensor, without making the tensor if possible."""
    return tensors.dtype_of(name) if isinstance(tensors, LazyTensors) else tensors[name].dtype
