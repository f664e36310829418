"""SealedPath: the path of an encrypted file, together with the key that opens it.

Whatever reads model files takes {name: Path}. A SealedPath among them is read as if it were plain by all that uses
open(). The system's own functions (os.open, mmap, hard links) see the encrypted bytes, and never plain ones.
"""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PosixPath
from typing import Any, Self

from llmos.core.encryption.aead import OVERHEAD_BYTES, new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import HEADER_BYTES, MAGIC, ChunkBuffer, SealedFile, SealedWriter

CHUNK_BYTES = 1 << 20
"""The plain bytes of each chunk but the last of a file that a SealedPath names."""


class SealedPath(PosixPath):
    _find_key: Callable[[], DataKey] | None = None

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
        """Open the file to read its plain bytes or text. write_bytes() writes it."""
        assert mode in ("r", "rt", "rb"), "an encrypted file is written at once, or by the writers of sealed_file.py"
        raw = self.open_sealed()
        if buffering == 0:
            return raw
        binary = io.BufferedReader(raw, CHUNK_BYTES)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def write_bytes(self, data: Any) -> int:
        """Create or replace the file, encrypted."""
        handle = os.open(self, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            chunks = ChunkBuffer(SealedWriter(handle, self.key), CHUNK_BYTES)
            chunks.write(bytes(data))
            chunks.finish()
        finally:
            os.close(handle)
        return len(data)


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
