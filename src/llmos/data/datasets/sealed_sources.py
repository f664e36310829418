"""Encrypted files for duckdb, which reads them like files of its own while they are lent to it.

    with open_columnar() as connection, lend_files(connection, paths) as names:
        connection.execute("SELECT … FROM read_parquet(?)", [names])

duckdb asks Python for the ranges that it needs: no plain bytes are on the disk, and memory doesn't depend on the size
of the files. Decision 14 has what was measured. Only fsspec's own classes may be registered with duckdb.
"""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import SealedFile
from llmos.core.encryption.sealed_path import SealedPath, plain_size
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PROTOCOL = "sealed"
_UNCHANGED = datetime(2000, 1, 1, tzinfo=UTC)
_making = threading.Lock()


class Loan:
    """The encrypted files of one call of lend_files()."""

    def __init__(self, files: Mapping[str, tuple[SealedPath, DataKey]]) -> None:
        self._files = files
        self.failure: Exception | None = None
        """The first thing that went wrong while duckdb read."""

    def open(self, name: str) -> "RangeReader":
        path, key = self._files[name]
        try:
            return RangeReader(SealedFile(Path(path), key, max_recent=2), self)
        except Exception as error:
            self.failure = self.failure or error
            raise

    def size(self, name: str) -> int:
        """Return the plain bytes of a file, without decrypting any."""
        return plain_size(self._files[name][0])


class RangeReader:
    """The part of Python's files that duckdb uses. Its read() gives all bytes that it is asked for."""

    def __init__(self, file: SealedFile, loan: Loan) -> None:
        self._file, self._loan, self._position = file, loan, 0

    @property
    def size(self) -> int:
        return self._file.size

    def read(self, num_bytes: int = -1) -> bytes:
        end = self.size if num_bytes < 0 else min(self.size, self._position + num_bytes)
        try:
            content = bytes(self._file.read_range(self._position, end))
        except Exception as error:
            self._loan.failure = self._loan.failure or error
            raise
        self._position = end
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self.size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()


@contextmanager
def lend_files(connection: "DuckDBPyConnection", paths: Sequence[Path]) -> "Iterator[list[str]]":
    """Yield what duckdb calls these files, until the block ends. A plain file keeps its path.

    Raises what SealedPath.key raises. What goes wrong while an encrypted file is read is raised in place of duckdb's
    error.
    """
    sealed = {str(number): (each, each.key) for number, each in enumerate(paths) if isinstance(each, SealedPath)}
    if not sealed:
        yield [str(path) for path in paths]
        return
    files, token, loan = _files(), secrets.token_hex(8), Loan(sealed)
    if not connection.filesystem_is_registered(_PROTOCOL):
        connection.register_filesystem(files)
    files.loans[token] = loan
    try:
        yield [
            f"{_PROTOCOL}://{token}/{number}" if str(number) in sealed else str(path)
            for number, path in enumerate(paths)
        ]
    except Exception:
        if loan.failure is not None:
            raise loan.failure from None
        raise
    finally:
        del files.loans[token]


def _files() -> Any:
    """Return the file system that all databases of this process share."""
    with _making:  # Of two threads that read first at once, the cache alone would give each one of its own.
        return _made_files()


@cache
def _made_files() -> Any:
    try:
        from fsspec import AbstractFileSystem
    except ImportError:
        raise BadRequest("Encrypted datasets need another package: pip install 'llmos[data]'") from None

    class SealedFiles(AbstractFileSystem):  # type: ignore[misc]
        """Knows the files that are lent, by TOKEN/NUMBER, and writes none."""

        protocol = _PROTOCOL
        cachable = False

        def __init__(self) -> None:
            super().__init__()
            self.loans: dict[str, Loan] = {}

        def open(self, path: str, mode: str = "rb", **_: Any) -> RangeReader:
            if mode != "rb":
                raise PermissionError("Encrypted files are only read.")
            token, name = path.removeprefix(f"{_PROTOCOL}://").split("/", 1)
            if token not in self.loans:
                raise FileNotFoundError(path)
            return self.loans[token].open(name)

        def exists(self, path: str, **_: Any) -> bool:
            return path.removeprefix(f"{_PROTOCOL}://").partition("/")[0] in self.loans

        def glob(self, path: str, **_: Any) -> list[str]:
            return [path] if self.exists(path) else []

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            token, name = path.removeprefix(f"{_PROTOCOL}://").split("/", 1)
            return {"name": path, "size": self.loans[token].size(name), "type": "file"}

        def modified(self, path: str) -> datetime:
            return _UNCHANGED

        created = modified

    return SealedFiles()
