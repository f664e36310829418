"""Entry: the text of a document, its chunks and their vectors, in one file.

    magic        8 bytes
    head         4 bytes of length, then msgpack: the bytes of the next two parts, and facts such as the shape of the
                 vectors
    chunks       zstd of msgpack: what a search returns of each chunk
    document     zstd of msgpack: the whole Document
    vectors      float32, little-endian, one after another

A search reads the chunks, an index the chunks and the vectors, and a citation the document.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from llmos.core.errors import StoreFailed
from llmos.data.documents.chunks import Chunk
from llmos.data.documents.document import Document
from llmos.data.knowledge.embedder import Vectors

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = b"LLMOSKE1"
_LENGTH_BYTES = 4


class EntryChunk(msgspec.Struct, frozen=True, array_like=True):
    """A chunk, and its text as it was embedded. The text ends with document.text[start:end]."""

    chunk: Chunk
    text: str

    @property
    def quote(self) -> str:
        """document.text[start:end]"""
        return self.text[len(self.text) - (self.chunk.end - self.chunk.start) :]


@dataclass(frozen=True, slots=True)
class Entry:
    document: Document
    chunks: Sequence[EntryChunk]
    vectors: Vectors
    """One for each chunk, of length 1."""

    @property
    def facts(self) -> "Facts":
        document, (num_chunks, dimensions) = self.document, self.vectors.shape
        return Facts(num_chunks, dimensions, document.format, document.num_bytes, document.kept)


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """The facts about an entry that are known without reading it whole."""

    num_chunks: int
    dimensions: int
    """The length of the vectors."""
    format: str
    """The format of the document: the name of a parser."""
    num_bytes: int
    """Bytes of the document's file."""
    kept: float
    """The share of the document's letters and digits that is in its text."""


class _Head(msgspec.Struct, frozen=True, array_like=True):
    chunk_bytes: int
    document_bytes: int
    facts: Facts


def write_entry(path: Path, entry: Entry) -> None:
    """Write an entry to a new file. The same entry gives the same bytes."""
    assert len(entry.chunks) == len(entry.vectors)
    chunks = zstd.compress(msgspec.msgpack.encode(list(entry.chunks)))
    document = zstd.compress(msgspec.msgpack.encode(entry.document))
    head = msgspec.msgpack.encode(_Head(len(chunks), len(document), entry.facts))
    vectors = entry.vectors.astype("<f4").tobytes()
    path.write_bytes(b"".join((_MAGIC, len(head).to_bytes(_LENGTH_BYTES, "little"), head, chunks, document, vectors)))


def read_entry(path: Path) -> Entry:
    """Return all of an entry. Raises StoreFailed for a damaged file, as the functions below do."""
    with _opened(path) as (file, head):
        chunks, document = _read_chunks(file, head), _read_document(file, head)
        return Entry(document, chunks, _read_vectors(file, head))


def read_chunks(path: Path) -> list[EntryChunk]:
    with _opened(path) as (file, head):
        return _read_chunks(file, head)


def read_document(path: Path) -> Document:
    with _opened(path) as (file, head):
        file.seek(head.chunk_bytes, 1)
        return _read_document(file, head)


def read_indexed(path: Path) -> tuple[list[EntryChunk], Vectors]:
    """Return the chunks and their vectors."""
    with _opened(path) as (file, head):
        chunks = _read_chunks(file, head)
        file.seek(head.document_bytes, 1)
        return chunks, _read_vectors(file, head)


def read_facts(path: Path) -> Facts:
    with _opened(path) as (_, head):
        return head.facts


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], _Head]]:
    """Open an entry behind its head."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise _damaged(path)
            head = file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little"))
            yield file, msgspec.msgpack.decode(head, type=_Head)
    except (msgspec.DecodeError, zstd.ZstdError, EOFError, ValueError, FileNotFoundError):
        raise _damaged(path) from None


def _read_chunks(file: IO[bytes], head: _Head) -> list[EntryChunk]:
    return msgspec.msgpack.decode(zstd.decompress(file.read(head.chunk_bytes)), type=list[EntryChunk])


def _read_document(file: IO[bytes], head: _Head) -> Document:
    return msgspec.msgpack.decode(zstd.decompress(file.read(head.document_bytes)), type=Document)


def _read_vectors(file: IO[bytes], head: _Head) -> Vectors:
    shape = head.facts.num_chunks, head.facts.dimensions
    return np.frombuffer(file.read(4 * shape[0] * shape[1]), "<f4").astype(np.float32, copy=False).reshape(shape)


def _damaged(path: Path) -> StoreFailed:
    return StoreFailed(f"{path.name} is missing or damaged. Run: llmos doctor --store")
