"""Encrypted files: chunks that are sealed one by one, so that ranges can be read and lines be appended.

    LLMOSE1\\n                                 8 bytes
    chunk 0: length and flag                  4 bytes: 31 bits of length, and one that marks the last chunk
             nonce, ciphertext, tag           12 + length + 16 bytes
    chunk 1: …

A chunk is bound to the object, its index and whether it is the last: chunks can't be swapped, repeated, moved between
files or left out, and a file that was cut off has no last chunk.
"""

import io
import os
import struct
import threading
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from llmos.core.disk import reserve, write_all
from llmos.core.encryption.aead import OVERHEAD_BYTES, WrongSeal, seal, unseal
from llmos.core.encryption.data_key import DataKey, modified

MAGIC = b"LLMOSE1\n"
CHUNK_BYTES = 256 * 1024
"""The plain bytes of each chunk of an upload. Files that lines are appended to have one chunk for each append."""

_HEADER = struct.Struct(">I")
HEADER_BYTES = _HEADER.size
_LAST = 1 << 31
_MAX_RECENT = 8


class SealedWriter:
    """Writes chunks to the end of an open file. Not for several threads."""

    def __init__(self, handle: int, key: DataKey, *, num_chunks: int = 0) -> None:
        """`num_chunks`: those that the file has; without any, its beginning is written."""
        self._handle, self._key = handle, key
        self.num_chunks = num_chunks
        if not num_chunks and not os.fstat(handle).st_size:
            write_all(handle, MAGIC)

    def append(self, content: bytes, *, is_last: bool = False) -> int:
        """Write one chunk, and return the bytes that it takes in the file. Raises OSError."""
        assert len(content) < _LAST, "callers write less at once"
        header = _HEADER.pack(len(content) | (_LAST if is_last else 0))
        sealed = header + seal(self._key.key, content, _bound_to(self._key, self.num_chunks, is_last=is_last))
        write_all(self._handle, sealed)
        self.num_chunks += 1
        return len(sealed)


class ChunkBuffer:
    """Cuts a stream of bytes into chunks of equal size for a SealedWriter."""

    def __init__(self, writer: SealedWriter, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._writer, self._chunk_bytes = writer, chunk_bytes
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        self._held += data
        while len(self._held) > self._chunk_bytes:  # The last chunk waits for finish().
            self._writer.append(bytes(self._held[: self._chunk_bytes]))
            del self._held[: self._chunk_bytes]

    def finish(self) -> None:
        self._writer.append(bytes(self._held), is_last=True)
        self._held.clear()


class SealedChunks:
    """Writes an encrypted file of known size in any order. A chunk stays in memory until all of it is written.

    Bytes that are never written are zero. Not for several threads.
    """

    def __init__(self, handle: int, key: DataKey, size: int, chunk_bytes: int) -> None:
        """`size`: plain bytes of the file, which is empty. Raises OSError if the disk is too small."""
        self._handle, self._key, self._size, self._chunk_bytes = handle, key, size, chunk_bytes
        self._num_chunks = max(1, -(-size // chunk_bytes))
        self._open: dict[int, tuple[bytearray, int]] = {}
        """By index: the chunk as far as it is written, and how many of its bytes are missing."""
        self._sealed: set[int] = set()
        reserve(handle, len(MAGIC) + size + self._num_chunks * (HEADER_BYTES + OVERHEAD_BYTES))
        os.pwrite(handle, MAGIC, 0)

    def write(self, offset: int, data: memoryview) -> None:
        """Write plain bytes. Raises OSError."""
        assert 0 <= offset <= self._size - len(data), "the file ends before that"
        while data:
            index, begin = divmod(offset, self._chunk_bytes)
            piece = data[: self._chunk_bytes - begin]
            chunk, num_missing = self._open.pop(index) if index in self._open else self._begin(index)
            chunk[begin : begin + len(piece)] = piece
            if len(piece) < num_missing:
                self._open[index] = chunk, num_missing - len(piece)
            else:
                self._seal(index, chunk)
            data, offset = data[len(piece) :], offset + len(piece)

    def finish(self) -> None:
        """Write what is still in memory. Raises OSError."""
        for index in range(self._num_chunks):
            if index in self._open or index not in self._sealed:
                chunk, _ = self._open.pop(index) if index in self._open else self._begin(index)
                self._seal(index, chunk)

    def _begin(self, index: int) -> tuple[bytearray, int]:
        length = min(self._chunk_bytes, self._size - index * self._chunk_bytes)
        if index not in self._sealed:
            return bytearray(length), length
        sealed = os.pread(self._handle, length + OVERHEAD_BYTES, self._offset(index) + HEADER_BYTES)
        return bytearray(unseal(self._key.key, sealed, self._bound_to(index))), length

    def _seal(self, index: int, chunk: bytearray) -> None:
        is_last = index == self._num_chunks - 1
        header = _HEADER.pack(len(chunk) | (_LAST if is_last else 0))
        data = memoryview(header + seal(self._key.key, bytes(chunk), self._bound_to(index)))
        offset = self._offset(index)
        while data:
            num_written = os.pwrite(self._handle, data, offset)
            data, offset = data[num_written:], offset + num_written
        self._sealed.add(index)

    def _offset(self, index: int) -> int:
        return len(MAGIC) + index * (HEADER_BYTES + OVERHEAD_BYTES + self._chunk_bytes)

    def _bound_to(self, index: int) -> bytes:
        return _bound_to(self._key, index, is_last=index == self._num_chunks - 1)


def is_sealed(path: Path) -> bool:
    """Return whether a file is encrypted. Raises FileNotFoundError."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_chunks(file: BinaryIO, key: DataKey) -> Iterator[tuple[bytes, int, bool]]:
    """Yield (content, offset of the end in the file, is_last) of each sound chunk, up to the first that isn't.

    For a file that is being appended to: what a crash has left unfinished ends it.
    """
    if file.read(len(MAGIC)) != MAGIC:
        return
    end, index = len(MAGIC), 0
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, is_last = _parse(header)
        sealed = file.read(length + OVERHEAD_BYTES)
        try:
            content = unseal(key.key, sealed, _bound_to(key, index, is_last=is_last))
        except WrongSeal:
            return
        end, index = end + _HEADER.size + len(sealed), index + 1
        yield content, end, is_last


class SealedFile(io.RawIOBase):
    """Reads an encrypted file as if it were plain; seek() decrypts nothing. Raises StoreFailed for a modified one."""

    def __init__(self, path: Path, key: DataKey, *, max_recent: int = _MAX_RECENT) -> None:
        """Raises FileNotFoundError, and StoreFailed for a file that was cut off or modified at its end.

        `max_recent`: the chunks that read_range() keeps.
        """
        self._key, self._max_recent = key, max_recent
        self._file = path.open("rb")
        try:
            self._index_chunks()
            self._chunk_index, self._chunk = -1, b""
            self._recent: dict[int, bytes] = {}
            self._recent_lock = threading.Lock()
            self._position = 0
            last = len(self._offsets) - 1
            self._recent[last] = self._open_chunk(last)  # The last chunk says that nothing is missing behind it.
        except BaseException:
            self._file.close()
            raise

    @property
    def size(self) -> int:
        """The plain bytes."""
        return self._begins[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self.size:
            return 0
        index = bisect_right(self._begins, self._position) - 1
        chunk = self._open_chunk(index)
        offset = self._position - self._begins[index]
        view = memoryview(buffer).cast("B")
        piece = chunk[offset : offset + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def read_range(self, begin: int, end: int) -> bytearray:
        """Return these plain bytes. Changes no position: threads may call it at the same time.

        Keeps the last chunks of which only a part was asked for: the next range often begins in one of them.
        """
        assert 0 <= begin <= end <= self.size, "callers know the size"
        content, position = bytearray(end - begin), begin
        while position < end:
            index = bisect_right(self._begins, position) - 1
            first, last = position - self._begins[index], min(end, self._begins[index + 1]) - self._begins[index]
            is_whole = last - first == self._begins[index + 1] - self._begins[index]
            chunk = self._read_chunk(index) if is_whole else self._recent_chunk(index)
            content[position - begin : position - begin + last - first] = memoryview(chunk)[first:last]
            position += last - first
        return content

    def forget(self) -> None:
        """Drop the chunks that read_range() keeps."""
        with self._recent_lock:
            self._recent.clear()

    def _recent_chunk(self, index: int) -> bytes:
        with self._recent_lock:
            chunk = self._recent.pop(index, None)
        if chunk is None:
            chunk = self._read_chunk(index)
        with self._recent_lock:
            self._recent[index] = chunk
            if len(self._recent) > self._max_recent:
                self._recent.pop(next(iter(self._recent)))
        return chunk

    def close(self) -> None:
        self._file.close()
        super().close()

    def _index_chunks(self) -> None:
        """Find where each chunk begins, in the file and in the plain bytes."""
        size = os.fstat(self._file.fileno()).st_size
        self._offsets: list[int] = []
        self._begins: list[int] = [0]
        handle, offset, is_last = self._file.fileno(), len(MAGIC), False
        if os.pread(handle, len(MAGIC), 0) != MAGIC:
            raise modified(self._key.object_id)
        while not is_last:
            header = os.pread(handle, _HEADER.size, offset)
            if len(header) < _HEADER.size:
                raise modified(self._key.object_id)
            length, is_last = _parse(header)
            self._offsets.append(offset)
            self._begins.append(self._begins[-1] + length)
            offset += _HEADER.size + length + OVERHEAD_BYTES
        if offset != size:
            raise modified(self._key.object_id)

    def _open_chunk(self, index: int) -> bytes:
        if index != self._chunk_index:
            self._chunk, self._chunk_index = self._read_chunk(index), index
        return self._chunk

    def _read_chunk(self, index: int) -> bytes:
        length = self._begins[index + 1] - self._begins[index]
        handle, offset = self._file.fileno(), self._offsets[index] + _HEADER.size
        sealed = os.pread(handle, length + OVERHEAD_BYTES, offset)
        is_last = index == len(self._offsets) - 1
        try:
            return unseal(self._key.key, sealed, _bound_to(self._key, index, is_last=is_last))
        except WrongSeal:
            raise modified(self._key.object_id) from None


def _parse(header: bytes) -> tuple[int, bool]:
    (value,) = _HEADER.unpack(header)
    return value & ~_LAST, bool(value & _LAST)


def _bound_to(key: DataKey, index: int, *, is_last: bool) -> bytes:
    return f"file\n{key.object_id}\n{index}\n{int(is_last)}".encode()
