"""Builds the files of an index. The same chunks and vectors give the same bytes."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from llmos.data.knowledge.index import graph
from llmos.data.knowledge.index.catalog import CatalogBuilder, IndexedChunk
from llmos.data.knowledge.index.files import CATALOG, GRAPH, TEXT, VECTORS, checksum_of
from llmos.data.knowledge.index.inverted_file import InvertedFileBuilder
from llmos.data.knowledge.index.vectors import Floats
from llmos.data.knowledge.index.words import terms_of

_ROWS_AT_ONCE = 8192
_MAX_DEVIATION = 1e-3


def build_index(folder: Path, chunks: Iterable[IndexedChunk], vectors: Floats) -> list[Path]:
    """Write the index of these chunks into an empty folder, and return its files.

    `chunks`: read once, in order; they may come from a generator. `vectors`: [chunks, dimensions], of length 1, such as
    a memory map; read after the last chunk. Raises OSError if the disk is full, BadRequest if usearch is needed and
    isn't installed.
    """
    catalog, inverted = CatalogBuilder(), InvertedFileBuilder()
    for chunk in chunks:
        catalog.add(chunk)
        inverted.add(terms_of(chunk.text))
    assert vectors.shape[:-1] == (catalog.num_rows,), "one vector for each chunk"
    layout = inverted.write(folder / TEXT)
    _write_vectors(folder / VECTORS, vectors)
    paths = [folder / TEXT, folder / VECTORS]
    if len(vectors) > graph.MIN_ROWS:
        graph.write_graph(folder / GRAPH, vectors)
        paths.append(folder / GRAPH)
    checksums = {path.name: checksum_of(path) for path in paths}
    (folder / CATALOG).write_bytes(catalog.encode(vectors.shape[1], layout, checksums))
    return [folder / CATALOG, *paths]


def _write_vectors(path: Path, vectors: Floats) -> None:
    with path.open("wb") as file:
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            rows = np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], "<f4")
            deviations = np.abs(np.linalg.norm(rows, axis=1) - 1)
            assert np.all(deviations < _MAX_DEVIATION), "vectors have the length 1"
            file.write(rows.data)
