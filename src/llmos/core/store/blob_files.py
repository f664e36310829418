"""The files of blobs: their digests, how they are written so that they are on the disk, plain or encrypted."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.byte_progress import OnBytes
from llmos.core.disk import write_all
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import ChunkBuffer, SealedWriter
from llmos.core.encryption.sealed_path import CHUNK_BYTES as SEALED_CHUNK_BYTES
from llmos.core.errors import StoreFailed

CHUNK_BYTES = 1 << 20
"""Bytes that are read at once."""


def digest_of(path: Path, on_bytes: OnBytes | None = None) -> str:
    """Return sha256:<hex> of a file's content."""
    hashing, num_done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as reader:
        while chunk := reader.read(CHUNK_BYTES):
            hashing.update(chunk)
            num_done += len(chunk)
            if on_bytes is not None:
                on_bytes(num_done)
    return f"sha256:{hashing.hexdigest()}"


def seal_file(source: Path, target: Path, key: DataKey, on_bytes: OnBytes | None) -> str:
    """Write an encrypted copy, wait until it is on the disk, and return the digest of what was read."""
    hashing, num_done = hashlib.sha256(), 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        chunks = ChunkBuffer(SealedWriter(handle, key), SEALED_CHUNK_BYTES)
        with source.open("rb", buffering=0) as reader:
            while piece := reader.read(CHUNK_BYTES):
                hashing.update(piece)
                chunks.write(piece)
                num_done += len(piece)
                if on_bytes is not None:
                    on_bytes(num_done)
        chunks.finish()
        os.fsync(handle)
    finally:
        os.close(handle)
    return f"sha256:{hashing.hexdigest()}"


def write_whole(content: bytes, target: Path, key: DataKey | None) -> None:
    """Write a file, encrypted if there is a key, and wait until it is on the disk."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        if key is None:
            write_all(handle, content)
        else:
            writer, size = SealedWriter(handle, key), len(content)
            for start in range(0, max(1, size), SEALED_CHUNK_BYTES):
                end = start + SEALED_CHUNK_BYTES
                writer.append(content[start:end], is_last=end >= size)
        os.fsync(handle)
    finally:
        os.close(handle)


def shifted(on_bytes: OnBytes | None, num_before: int) -> OnBytes | None:
    """Return a callback that counts on from `num_before`."""
    return None if on_bytes is None else lambda num_done: on_bytes(num_before + num_done)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of a full or unwritable disk into StoreFailed with advice."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFailed(
                f"The disk of {path} is full. Partial downloads are kept and will be resumed."
                " Free some space and try again, or choose another LLMOS_HOME."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreFailed(
                f"{error.filename or path} can't be read or written: {error.strerror}. Check its owner and permissions."
            ) from error
        raise


def identity(path: Path) -> tuple[int, int, int, int]:
    """Return values that change when the file is replaced or written to."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
