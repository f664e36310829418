"""Small indexes of knowledge, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from llmos.data.knowledge.index import Index, IndexedChunk, build_index, open_index
from llmos.data.knowledge.index.filters import Value
from llmos.data.knowledge.index.vectors import Floats


def unit_vectors(count: int, num_dims: int = 8, seed: int = 0) -> Floats:
    """Return random vectors of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, num_dims))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def chunks_of(texts: Sequence[str], metadata: Mapping[int, Mapping[str, Value]] | None = None) -> list[IndexedChunk]:
    """Return one chunk for each text, of the documents d0, d1 and so on. `metadata`: of some, by their index."""
    return [
        IndexedChunk(document=f"d{index}", chunk=0, text=text, metadata=dict((metadata or {}).get(index, {})))
        for index, text in enumerate(texts)
    ]


def build_files(folder: Path, chunks: Sequence[IndexedChunk], vectors: Floats | None = None) -> dict[str, Path]:
    """Build an index in a new folder and return its files. `vectors`: random ones if they don't matter."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = build_index(folder, chunks, unit_vectors(len(chunks)) if vectors is None else vectors)
    return {path.name: path for path in paths}


def make_index(folder: Path, texts: Sequence[str], vectors: Floats | None = None) -> Index:
    return open_index(build_files(folder, chunks_of(texts), vectors))


def found_documents(index: Index, text: str, limit: int = 10) -> list[str]:
    """Return the documents that the text part finds, best first."""
    return [found.document for found in index.search(text, None, limit=limit)]
