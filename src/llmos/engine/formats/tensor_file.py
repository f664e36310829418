"""A file whose header says where everything lies: its tensors can be written in any order, a few rows at a time."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from llmos.engine.tensors import DType


class ByteRange(NamedTuple):
    """Where a tensor's bytes lie in a file."""

    offset: int
    num_bytes: int


class TensorHeader(NamedTuple):
    """What a header says of a tensor."""

    dtype: DType | None
    """None: bytes, which have a descriptor (encoded.py)."""
    shape: tuple[int, ...]
    num_bytes: int


class TensorFileWriter:
    """Until the block ends without an error the file has another name, and after one it is gone."""

    def __init__(self, path: Path, header: bytes, places: Mapping[str, ByteRange], *, size: int) -> None:
        """`size`: of the whole file; what nobody writes is zero."""
        self.path, self._header, self._places, self._size = path, header, places, size
        self._unfinished = path.with_name(f"{path.name}.unfinished")

    def __enter__(self) -> Self:
        self._file = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(self._file, 0, self._size)  # a disk that is too small says so before the work is done
            self._write(0, memoryview(self._header))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                os.fsync(self._file)
                self._unfinished.replace(self.path)
        finally:
            os.close(self._file)
            self._unfinished.unlink(missing_ok=True)

    def write(self, name: str, at: int, data: npt.NDArray[np.uint8]) -> None:
        """Write these bytes of a tensor, from byte `at` of it on."""
        place = self._places[name]
        assert 0 <= at <= place.num_bytes - data.nbytes, f"{name} ends before that"
        self._write(place.offset + at, np.ascontiguousarray(data).data.cast("B"))

    def _write(self, offset: int, data: memoryview) -> None:
        while data:
            num_written = os.pwrite(self._file, data, offset)
            data, offset = data[num_written:], offset + num_written
