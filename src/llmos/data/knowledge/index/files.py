"""The files of an index, as bytes: mapped from a plain file, decrypted from an encrypted one, or in memory already."""

import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile

Content = bytes | mmap.mmap

CATALOG, TEXT, VECTORS, GRAPH = "catalog.msgpack", "text.postings", "vectors.f32", "graph.usearch"


class IndexFiles:
    """The files by their names. Encrypted ones are decrypted when this is made."""

    def __init__(self, files: Mapping[str, Path | bytes]) -> None:
        self._files = {
            name: _read(file, name) if isinstance(file, SealedPath) else file for name, file in files.items()
        }

    def content(self, name: str) -> Content:
        """Return the bytes of a file, mapped where that is possible. Raises BadModelFile if it can't be read."""
        found = self._files.get(name)
        if found is None:
            raise BadModelFile(f"The search index has no {name}. Build it again.")
        return found if isinstance(found, bytes) else _mapped(found, name)

    def checked(self, name: str, checksum: int) -> Content:
        """Return the bytes of a file. Raises BadModelFile if they are damaged."""
        content = self.content(name)
        if zlib.crc32(content) != checksum:
            raise BadModelFile(f"The file {name} of a search index is damaged. Build the index again.")
        return content


def checksum_of(path: Path) -> int:
    return zlib.crc32(_read(path, path.name) if isinstance(path, SealedPath) else _mapped(path, path.name))


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content: bytes = file.read()
    except OSError as error:
        raise _unreadable(name, error) from None
    return content


def _mapped(path: Path, name: str) -> Content:
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return b""  # There is no map of nothing.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: OSError) -> BadModelFile:
    return BadModelFile(f"The file {name} of a search index can't be read: {error.strerror or error}.")
