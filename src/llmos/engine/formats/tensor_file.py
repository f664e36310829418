"""Writes a file with a known header, in which the tensors can be written in any order, some rows at a time.

A file at a SealedPath is encrypted on its way to the disk.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from llmos.core.disk import reserve
from llmos.core.encryption.sealed_file import SealedChunks
from llmos.core.encryption.sealed_path import CHUNK_BYTES, SealedPath
from llmos.engine.tensors import DType


class ByteRange(NamedTuple):
    """The bytes of a tensor in a file."""

    offset: int
    num_bytes: int


class TensorHeader(NamedTuple):
    """The entry of a tensor in a file's header."""

    dtype: DType | None
    """None: plain bytes with a descriptor (encoded.py)."""
    shape: tuple[int, ...]
    num_bytes: int


class TensorFileWriter:
    """A context manager that writes the file under a temporary name, and renames it if the block ends without an error.

    After an error no file is left. An older file at `path` is replaced. Raises OSError.
    """

    def __init__(self, path: Path, header: bytes, tensors: Mapping[str, ByteRange], *, size: int) -> None:
        """`size`: of the whole file. Bytes that are never written are zero."""
        self.path, self._header, self._tensors, self._size = path, header, tensors, size
        self._unfinished = path.with_name(f"{path.name}.unfinished")

    def __enter__(self) -> Self:
        self._file = os.open(self._unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._chunks: SealedChunks | None = None
        try:
            # Reserving the space fails now if the disk is too small, not after the work.
            if isinstance(self.path, SealedPath):
                self._chunks = SealedChunks(self._file, self.path.key, self._size, CHUNK_BYTES)
            else:
                reserve(self._file, self._size)
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
                if self._chunks is not None:
                    self._chunks.finish()
                os.fsync(self._file)
                self._unfinished.replace(self.path)
        finally:
            os.close(self._file)
            self._unfinished.unlink(missing_ok=True)

    def write(self, name: str, offset: int, data: npt.NDArray[np.uint8]) -> None:
        """Write bytes of a tensor, beginning with its byte `offset`."""
        tensor = self._tensors[name]
        assert 0 <= offset <= tensor.num_bytes - data.nbytes, f"{name} ends before that"
        self._write(tensor.offset + offset, np.ascontiguousarray(data).data.cast("B"))

    def _write(self, offset: int, data: memoryview) -> None:
        if self._chunks is not None:
            self._chunks.write(offset, data)
            return
        while data:
            num_written = os.pwrite(self._file, data, offset)
            data, offset = data[num_written:], offset + num_written
