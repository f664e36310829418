"""The vector part of a large index: a graph of neighbours (HNSW, Malkov and Yashunin 2016) by usearch.

The graph has the vectors in 8 bits and says which rows may be the nearest ones; their products are computed exactly.
It finds nearly all of the nearest rows, and is built by one thread, so that the same vectors give the same graph.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile, BadRequest
from llmos.data.knowledge.index.files import Content
from llmos.data.knowledge.index.ranking import Mask, Ranked
from llmos.data.knowledge.index.vectors import Doubles, Floats, Rows, best_of, nearest_rows

if TYPE_CHECKING:
    from usearch.index import Index

MIN_ROWS = 200_000
"""An index with more rows has a graph."""

CONNECTIVITY = 32
"""Neighbours of a row in the graph; in its lowest layer twice as many."""

EXPANSION_ADD = 128
EXPANSION_SEARCH = 512
"""Candidates that are kept while a row is added, and while a question is searched."""

_SPARE = 2
"""Candidates for each row that is wanted: 8 bits put some in a wrong order."""

_MIN_CANDIDATES = 100
_MAX_CANDIDATES = 2000
"""If a filter leaves so few rows that more candidates would be needed, all allowed rows are multiplied instead."""

_ROWS_AT_ONCE = 8192


def write_graph(path: Path, vectors: Floats) -> None:
    """Write the graph of these vectors. Takes some three minutes of one core for 300,000 of 384 numbers."""
    graph = _usearch().Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
    )
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], np.float32)
        graph.add(np.arange(start, start + len(rows), dtype=np.uint64), rows, threads=1)
    if isinstance(path, SealedPath):
        path.write_bytes(graph.save())
    else:
        graph.save(str(path))


class Graph:
    """Any thread may use it; they take turns."""

    def __init__(self, content: Content, vectors: Floats) -> None:
        """Open the graph of these vectors. Raises BadModelFile if it isn't theirs, BadRequest without usearch."""
        restored: Index | None
        try:
            restored = _usearch().Index.restore(content, view=True, expansion_search=EXPANSION_SEARCH)
        except (RuntimeError, ValueError) as error:
            raise BadModelFile(f"The graph of a search index can't be read: {error}. Build the index again.") from None
        if restored is None or (len(restored), restored.ndim) != vectors.shape:
            raise BadModelFile("The graph of a search index has other vectors. Build the index again.")
        self._graph, self._vectors = restored, vectors
        self._content = content  # The graph is a view of it.
        self._turn = threading.Lock()

    def nearest_rows(self, query: Doubles, limit: int, allowed: Mask | None = None) -> Ranked:
        """Return nearly always the rows with the largest products, largest first; equal ones in the order of rows."""
        num_rows = len(self._vectors)
        num_allowed = num_rows if allowed is None else int(np.count_nonzero(allowed))
        wanted = min(limit, num_allowed)
        count = max(_MIN_CANDIDATES, _SPARE * wanted) * num_rows // max(1, num_allowed)
        if wanted and count <= _MAX_CANDIDATES:
            rows = self._candidates(query, count)
            rows = rows if allowed is None else rows[allowed[rows]]
            if len(rows) >= wanted:
                return best_of(self._vectors, query, rows, limit)
        return nearest_rows(self._vectors, query, limit, allowed)

    def _candidates(self, query: Doubles, count: int) -> Rows:
        with self._turn:
            found = self._graph.search(query.astype(np.float32), count, threads=1)
        return np.asarray(found.keys).astype(np.intp)


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        raise BadRequest(
            f"An index of more than {MIN_ROWS:,} chunks needs another package: pip install 'llmos[data]'"
        ) from None
    return usearch.index
