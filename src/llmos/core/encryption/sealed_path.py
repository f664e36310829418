"""SealedPath: the path of an encrypted file, together with the key that opens it.

Whatever reads model files takes {name: Path}. A SealedPath among them is read as if it were plain by all that uses
open(). The system's own functions (os.open, mmap, hard links) see the encrypted bytes, and never plain ones.
"""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PosixPath
from typing import Any, Self, cast

from llmos.core.encryption.aead import OVERHEAD_BYTES, new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import HEADER_BYTES, MAGIC, ChunkBuffer, SealedFile, SealedWriter

CHUNK_BYTES = 1 << 20
"""The plain bytes of each chunk but the last of a file that a SealedPath names."""


class SealedPath(PosixPath):
    _find_key: Callable[[], DataKey] | None = None
    _content: bytes | None = None
    """The plain bytes, if held() has read them."""

    @classmethod
    def of(cls, path: Path, find_key: Callable[[], DataKey]) -> Self:
        """`find_key`: returns the key, or raises what says why there is none. Called when the file is opened."""
        made = cls(path)
        made._find_key = find_key
        return made

    def with_segments(self, *parts: Any) -> Path:
        """Return a plain path: neighbours and folders of an encrypted file have other keys, or none."""
        return Path(*parts)

    @property
    def key(self) -> DataKey:
        """The key of the file. Raises NotFound if it was destroyed, StoreFailed if it was modified or its keys lost."""
        assert self._find_key is not None, "made by of()"
        return self._find_key()

    @property
    def plain_size(self) -> int:
        """The bytes that open() gives, from the size of the file. Raises FileNotFoundError."""
        frame = HEADER_BYTES + OVERHEAD_BYTES
        num_bytes = self.stat().st_size - len(MAGIC)
        num_chunks = -(-num_bytes // (frame + CHUNK_BYTES))
        return max(0, num_bytes - num_chunks * frame)

    def held(self) -> Self:
        """Return the path of the same file, whose plain bytes are in memory: they can be read again and again."""
        assert self._find_key is not None, "made by of()"
        made = self.of(self, self._find_key)
        made._content = self.read_bytes()
        return made

    def open_sealed(self) -> SealedFile:
        """Open the file to read ranges of it. Raises FileNotFoundError, and what `key` and SealedFile raise."""
        return SealedFile(Path(self), self.key)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Open the file to read its plain bytes or text, or to create or replace it with bytes ("wb")."""
        assert mode in ("r", "rt", "rb", "wb"), "it is written whole, or by the writers of sealed_file.py"
        if mode == "wb":
            return SealedStream(self, self.key)
        raw = self.open_sealed() if self._content is None else io.BytesIO(self._content)
        if buffering == 0:
            return raw
        binary = io.BufferedReader(cast(io.RawIOBase, raw), CHUNK_BYTES)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def write_bytes(self, data: Any) -> int:
        """Create or replace the file, encrypted."""
        with self.open("wb") as file:
            file.write(data)
        return len(data)


class SealedStream(io.RawIOBase):
    """Writes an encrypted file, whose last chunk is written when it is closed. A file that is left at an error has
    none, and can't be read."""

    def __init__(self, path: Path, key: DataKey) -> None:
        """Raises OSError."""
        self._position, self._has_failed = 0, True
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._chunks = ChunkBuffer(SealedWriter(self._handle, key), CHUNK_BYTES)
        except BaseException:
            self.close()
            raise
        self._has_failed = False

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        content = bytes(data)
        try:
            self._chunks.write(content)
        except BaseException:
            self._has_failed = True
            raise
        self._position += len(content)
        return len(content)

    def __exit__(self, *error: Any) -> None:
        self._has_failed |= error[0] is not None
        super().__exit__(*error)

    def close(self) -> None:
        if self.closed:
            return
        try:
            if not self._has_failed:
                self._chunks.finish()
        finally:
            os.close(self._handle)
            super().close()


class SealedFolder(PosixPath):
    """A folder whose files are encrypted under one key, which is in memory only: for what is being made.

    When the process ends, nobody can read them any more.
    """

    _key = b""

    @classmethod
    def of(cls, path: Path) -> Self:
        made = cls(path)
        made._key = new_key()
        return made

    def __truediv__(self, name: Any) -> SealedPath:  # type: ignore[override]
        key = DataKey(f"scratch:{name}", self._key)
        return SealedPath.of(Path(self) / name, lambda: key)


def plain_size(path: Path) -> int:
    """Return the size of a file, or the plain bytes of an encrypted one. Raises FileNotFoundError."""
    return path.plain_size if isinstance(path, SealedPath) else path.stat().st_size


def split_keys(files: Mapping[str, Path]) -> tuple[dict[str, str], dict[str, DataKey]]:
    """Return {name: path} and {name: key of an encrypted file}, to be sent to a process that opens them.

    Raises what SealedPath.key raises.
    """
    paths = {name: str(path.absolute()) for name, path in files.items()}
    return paths, {name: path.key for name, path in files.items() if isinstance(path, SealedPath)}


def join_keys(paths: Mapping[str, str], keys: Mapping[str, DataKey]) -> dict[str, Path]:
    """Return the files of split_keys() again."""
    return {name: _path(Path(path), keys.get(name)) for name, path in paths.items()}


def _path(path: Path, key: DataKey | None) -> Path:
    return path if key is None else SealedPath.of(path, lambda: key)


def is_any_sealed(files: Mapping[str, Path]) -> bool:
    return any(isinstance(path, SealedPath) for path in files.values())
