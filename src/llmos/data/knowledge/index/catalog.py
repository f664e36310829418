"""The catalog of an index: which chunk each row is, and the checksums of the other files."""

import zlib
from array import array

import msgspec
import numpy as np

from llmos.core.errors import BadModelFile
from llmos.data.knowledge.index import words
from llmos.data.knowledge.index.filters import Value
from llmos.data.knowledge.index.inverted_file import Layout

FORMAT = 1

_CHECKSUM_BYTES = 4


class IndexedChunk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A chunk that is to be found."""

    document: str
    """The name of its document."""
    chunk: int
    """Its index in the document."""
    text: str
    """The text that is searched for words: the headings above the chunk, and the chunk."""
    metadata: dict[str, Value] = {}
    """The metadata of the document, for filters."""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    terms_version: int
    num_dims: int
    text: Layout
    checksums: dict[str, int]
    """The CRC-32 of each other file."""
    documents: list[tuple[str, dict[str, Value]]]
    """Names and metadata."""
    document_of: bytes
    """For each row an int32: the index of its document."""
    chunk_of: bytes
    """For each row an int32: the index of the chunk in its document."""


class CatalogBuilder:
    """Collects the chunks, in the order of rows."""

    def __init__(self) -> None:
        self._indexes: dict[tuple[str, bytes], int] = {}
        self._documents: list[tuple[str, dict[str, Value]]] = []
        self._document_of, self._chunk_of = array("i"), array("i")

    def add(self, chunk: IndexedChunk) -> None:
        key = (chunk.document, msgspec.msgpack.encode(chunk.metadata, order="deterministic"))
        index = self._indexes.setdefault(key, len(self._documents))
        if index == len(self._documents):
            self._documents.append((chunk.document, dict(sorted(chunk.metadata.items()))))
        self._document_of.append(index)
        self._chunk_of.append(chunk.chunk)

    @property
    def num_rows(self) -> int:
        return len(self._chunk_of)

    def encode(self, num_dims: int, text: Layout, checksums: dict[str, int]) -> bytes:
        body = msgspec.msgpack.encode(
            Catalog(
                format=FORMAT,
                terms_version=words.VERSION,
                num_dims=num_dims,
                text=text,
                checksums=checksums,
                documents=self._documents,
                document_of=np.array(self._document_of, "<i4").tobytes(),
                chunk_of=np.array(self._chunk_of, "<i4").tobytes(),
            )
        )
        return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


def decode_catalog(data: bytes) -> Catalog:
    """Return the catalog in these bytes. Raises BadModelFile if they are damaged or of another version."""
    body = data[_CHECKSUM_BYTES:]
    if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") != data[:_CHECKSUM_BYTES]:
        raise BadModelFile("The catalog of a search index is damaged. Build the index again.")
    try:
        catalog = msgspec.msgpack.decode(body, type=Catalog)
    except msgspec.DecodeError as error:
        raise BadModelFile(f"The catalog of a search index can't be read: {error}. Build the index again.") from None
    if (catalog.format, catalog.terms_version) != (FORMAT, words.VERSION):
        raise BadModelFile("The search index was built by another version of LLMOS. Build it again.")
    return catalog
