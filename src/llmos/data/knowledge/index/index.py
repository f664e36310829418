"""Index: searches the chunks of one version of a knowledge."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest
from llmos.data.knowledge.index.catalog import decode_catalog
from llmos.data.knowledge.index.files import CATALOG, GRAPH, TEXT, VECTORS, IndexFiles
from llmos.data.knowledge.index.filters import MetadataColumns
from llmos.data.knowledge.index.fusion import join_ranks
from llmos.data.knowledge.index.graph import Graph
from llmos.data.knowledge.index.ranking import Mask, Ranked
from llmos.data.knowledge.index.text_part import TextPart
from llmos.data.knowledge.index.vectors import Doubles, nearest_rows, products_of, query_vector

Mode = Literal["hybrid", "text", "vector"]

MIN_DEPTH = 100
"""The hits of each part that are joined, at least."""


MAX_UNKNOWN_SHARE = 1 / 3
"""The most of a text's tokens that its model may not know. The vector of more says little about the text, and joining
what is near to it costs recall. Measured: see docs/knowledge.md."""


class Found(NamedTuple):
    """A chunk that was found."""

    document: str
    chunk: int
    """Its index in the document."""
    score: float
    """The score that hits are sorted by: the sum of reciprocal ranks, or the BM25 or cosine if only one part
    searched."""
    text_rank: int | None
    """From 1 on. None: the text part didn't find it among its best."""
    vector_rank: int | None
    bm25: float | None
    """None: the text part didn't find it among its best."""
    cosine: float | None
    """None: there was no vector."""


class Index:
    """Any thread may use it, several at a time."""

    def __init__(self, files: Mapping[str, Path | bytes]) -> None:
        """Open the files of build_index(). Raises BadModelFile if one is missing or damaged."""
        opened = IndexFiles(files)
        catalog = decode_catalog(bytes(opened.content(CATALOG)))
        self._documents = [name for name, _ in catalog.documents]
        self._indexes_of: dict[str, list[int]] = {}
        for index, name in enumerate(self._documents):
            self._indexes_of.setdefault(name, []).append(index)
        self._metadata = MetadataColumns([metadata for _, metadata in catalog.documents])
        self._document_of = np.frombuffer(catalog.document_of, "<i4")
        self._chunk_of = np.frombuffer(catalog.chunk_of, "<i4")
        vectors = np.frombuffer(opened.checked(VECTORS, catalog.checksums[VECTORS]), "<f4")
        self._vectors = vectors.reshape(len(self._chunk_of), catalog.num_dims)
        self._graph: Graph | None = None
        if GRAPH in catalog.checksums:
            self._graph = Graph(opened.checked(GRAPH, catalog.checksums[GRAPH]), self._vectors)
        self._text = TextPart(opened.checked(TEXT, catalog.checksums[TEXT]), catalog.text)

    def __len__(self) -> int:
        return len(self._chunk_of)

    @property
    def num_dims(self) -> int:
        return self._vectors.shape[1]

    def search(
        self,
        text: str | None,
        vector: npt.ArrayLike | None,
        *,
        limit: int = 10,
        mode: Mode = "hybrid",
        unknown_share: float = 0.0,
        filters: Mapping[str, object] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[Found]:
        """Return the best chunks, best first; equal ones in the order in which they were indexed.

        `unknown_share`: that of the text's tokens that the model of the vector doesn't know. Of many, a hybrid search
        orders what the words find, and takes the nearest vectors where they find nothing.

        Without a text, only the vector part searches; without a vector, only the text part. Both take only chunks that
        fit `filters` and are of one of the `documents`. Raises BadRequest for wrong filters or vectors.
        """
        if limit < 1:
            raise BadRequest(f"The limit is {limit}; it must be 1 at least.", param="limit")
        query = None if vector is None or mode == "text" else query_vector(vector, self.num_dims)
        text = None if mode == "vector" else text
        allowed = self._allowed(filters, documents)
        depth = limit if query is None or text is None else max(limit, MIN_DEPTH)
        by_text = self._text.search(text, depth, allowed) if text is not None else []
        is_readable = unknown_share <= MAX_UNKNOWN_SHARE or not by_text
        by_vector = self._nearest(query, depth, allowed) if query is not None and is_readable else []
        if query is not None and text is not None:
            joined = join_ranks([row for row, _ in by_text], [row for row, _ in by_vector])
        else:
            joined = by_text or by_vector
        return self._found(joined[:limit], by_text, by_vector, query)

    def close(self) -> None:
        """Unmap the files. No search may be running, nor follow."""
        vars(self).clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _allowed(self, filters: Mapping[str, object] | None, documents: Collection[str] | None) -> Mask | None:
        """Return which rows may be found, or None: all."""
        if filters is None and documents is None:
            return None
        fitting = np.ones(len(self._documents), np.bool_) if filters is None else self._metadata.matching(filters)
        if documents is not None:
            named = np.zeros_like(fitting)
            named[[index for name in documents for index in self._indexes_of.get(name, ())]] = True
            fitting = fitting & named
        return np.asarray(fitting[self._document_of])

    def _nearest(self, query: Doubles, limit: int, allowed: Mask | None) -> Ranked:
        if self._graph is not None:
            return self._graph.nearest_rows(query, limit, allowed)
        return nearest_rows(self._vectors, query, limit, allowed)

    def _found(
        self,
        joined: Ranked,
        by_text: Ranked,
        by_vector: Ranked,
        query: Doubles | None,
    ) -> list[Found]:
        rows = np.array([row for row, _ in joined], np.intp)
        cosines = None if query is None else products_of(self._vectors, query, rows).tolist()
        text_ranks = {row: rank for rank, (row, _) in enumerate(by_text, 1)}
        vector_ranks = {row: rank for rank, (row, _) in enumerate(by_vector, 1)}
        bm25 = dict(by_text)
        return [
            Found(
                document=self._documents[self._document_of[row]],
                chunk=int(self._chunk_of[row]),
                score=score,
                text_rank=text_ranks.get(row),
                vector_rank=vector_ranks.get(row),
                bm25=bm25.get(row),
                cosine=None if cosines is None else cosines[place],
            )
            for place, (row, score) in enumerate(joined)
        ]
