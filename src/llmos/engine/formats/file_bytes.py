"""The bytes of a file of weights: a memory map of a plain file, or chunks of an encrypted one, decrypted when needed.

Tensors of a plain file are views of the map. Those of an encrypted file are read, and so decrypted, when their data
are accessed, as few rows as are asked for.
"""

import mmap
from collections import OrderedDict
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType, RawTensor

Bytes = npt.NDArray[np.uint8]

_FIRST_PREFIX = 8 << 20
_KEPT_ARRAYS = 2
"""Whole tensors of an encrypted file that stay decrypted: a quantizer's stack of experts and its scales are read once
for each expert."""


class FileBytes(Protocol):
    """The plain bytes of an open file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> bytes: ...

    def prefixes(self) -> Iterator[Any]:
        """Yield longer and longer beginnings of the file, each a buffer, up to the whole file. For parsers of headers,
        which learn the length of the header on the way."""

    def array(self, begin: int, end: int) -> Bytes:
        """Return these bytes."""

    def tensor(self, dtype: DType, shape: tuple[int, ...], begin: int) -> RawTensor:
        """Return the tensor that begins with this byte."""

    def release_memory(self) -> None:
        """Release the memory of what was read. It is read from the file again when needed."""


class FilePart(NamedTuple):
    """Consecutive bytes of a file."""

    file: FileBytes
    begin: int
    size: int

    def read(self, begin: int, end: int) -> Bytes:
        """Return bytes of the part, counted from its beginning."""
        return self.file.array(self.begin + begin, self.begin + end)


def open_bytes(path: Path, name: str) -> FileBytes:
    """Open a file, which stays readable when it is deleted. Raises BadModelFile, calling the file `name`, if it is
    missing, empty or unreadable, and StoreFailed for an encrypted file that was modified."""
    try:
        if isinstance(path, SealedPath):
            return SealedBytes(path, name)
        return MappedBytes(path)
    except ValueError:
        raise BadModelFile(f"{name} is empty. Download it again.") from None
    except OSError as error:
        raise BadModelFile(f"{name} cannot be read: {error.strerror or error}.") from None


class MappedBytes:
    """A read-only memory map of a whole file. Raises ValueError for an empty one."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._array = np.frombuffer(self._map, np.uint8)

    def __len__(self) -> int:
        return len(self._map)

    def __getitem__(self, part: slice) -> bytes:
        return self._map[part]

    def prefixes(self) -> Iterator[Any]:
        yield self._map

    def array(self, begin: int, end: int) -> Bytes:
        return self._array[begin:end]

    def tensor(self, dtype: DType, shape: tuple[int, ...], begin: int) -> RawTensor:
        num_rows, row_bytes = _rows_of(dtype, shape)
        return RawTensor(dtype, shape, self._array[begin : begin + num_rows * row_bytes].reshape(num_rows, row_bytes))

    def release_memory(self) -> None:
        self._map.madvise(mmap.MADV_DONTNEED)


class SealedBytes:
    """An encrypted file."""

    def __init__(self, path: SealedPath, name: str) -> None:
        self._file = path.open_sealed()
        if not self._file.size:
            raise ValueError(f"{name} is empty")
        self._kept: OrderedDict[tuple[int, int], Bytes] = OrderedDict()

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, part: slice) -> bytes:
        begin, end, step = part.indices(len(self))
        assert step == 1, "consecutive bytes"
        return bytes(self._file.read_range(begin, max(begin, end)))

    def prefixes(self) -> Iterator[Any]:
        prefix, length = bytearray(), _FIRST_PREFIX
        while True:
            prefix += self._file.read_range(len(prefix), min(length, len(self)))
            yield bytes(prefix)
            if len(prefix) == len(self):
                return
            length *= 4

    def array(self, begin: int, end: int) -> Bytes:
        found = self._kept.pop((begin, end), None)
        if found is None:
            found = self.read(begin, end)
        self._kept[begin, end] = found
        if len(self._kept) > _KEPT_ARRAYS:
            self._kept.popitem(last=False)
        return found

    def read(self, begin: int, end: int) -> Bytes:
        """Return these bytes, without keeping them."""
        return np.frombuffer(self._file.read_range(begin, end), np.uint8)

    def tensor(self, dtype: DType, shape: tuple[int, ...], begin: int) -> RawTensor:
        return SealedTensor(dtype, shape, _Rows(self, begin, *_rows_of(dtype, shape)))

    def release_memory(self) -> None:
        self._kept.clear()
        self._file.forget()


def _rows_of(dtype: DType, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of rows of a tensor, and the bytes of each."""
    num_columns = shape[-1] if shape else 1
    return prod(shape[:-1]), num_columns // BLOCK_LENGTH[dtype] * BLOCK_BYTES[dtype]


class _Rows(NamedTuple):
    """Consecutive rows of a tensor in an encrypted file."""

    file: SealedBytes
    begin: int
    num_rows: int
    row_bytes: int

    def read(self) -> Bytes:
        end = self.begin + self.num_rows * self.row_bytes
        return self.file.read(self.begin, end).reshape(self.num_rows, self.row_bytes)


class SealedTensor(RawTensor):
    """A tensor that decrypts its data when they are accessed, and keeps none of them."""

    __slots__ = ("_rows",)
    _rows: _Rows

    def __init__(self, dtype: DType, shape: tuple[int, ...], rows: _Rows) -> None:
        for name, value in {"dtype": dtype, "shape": shape, "_rows": rows}.items():
            object.__setattr__(self, name, value)

    @property
    def data(self) -> Bytes:
        return self._rows.read()

    @property
    def data_shape(self) -> tuple[int, int]:
        return self._rows.num_rows, self._rows.row_bytes

    def take_rows(self, rows: Any) -> RawTensor:
        if isinstance(rows, slice):
            begin, end, step = rows.indices(self._rows.num_rows)
            if step == 1:
                return self._consecutive(begin, max(begin, end))
        return super().take_rows(rows)

    def _consecutive(self, begin: int, end: int) -> RawTensor:
        row_bytes = self._rows.row_bytes
        rows = self._rows._replace(begin=self._rows.begin + begin * row_bytes, num_rows=end - begin)
        return SealedTensor(self.dtype, (end - begin, self.shape[-1]), rows)
