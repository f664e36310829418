"""Makes the index of a version from the entries of its documents, and puts it into the store."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llmos.data.knowledge.embedder import Vectors
from llmos.data.knowledge.entries import read_indexed
from llmos.data.knowledge.index import IndexedChunk, build_index
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.versions import IndexFile, StoredDocument


def build_version_index(
    knowledge: ProjectKnowledge, folder: Path, documents: Sequence[StoredDocument]
) -> list[IndexFile]:
    """Return the files of the index of these documents, which are in the store; none where there are no chunks.

    Call it inside store.publishing(). `folder`: an empty one, for the files. Raises StoreFailed for a full disk, and
    for a damaged entry.
    """
    entries = [document for document in documents if document.entry.facts.num_chunks]
    if not entries:
        return []
    shape = sum(each.entry.facts.num_chunks for each in entries), entries[0].entry.facts.dimensions
    vectors: Vectors = np.empty(shape, np.float32)

    def chunks() -> Iterator[IndexedChunk]:
        """Yield all chunks, and fill `vectors`, which is read after the last one."""
        start = 0
        for document in entries:
            found, vectors_of_document = read_indexed(knowledge.entry_path(document))
            vectors[start : start + len(found)] = vectors_of_document
            start += len(found)
            for number, each in enumerate(found):
                yield IndexedChunk(
                    document=document.name, chunk=number, text=each.text, metadata=dict(document.metadata)
                )

    with knowledge.store.disk_errors():
        paths = build_index(folder, chunks(), vectors)
    return [IndexFile(path.name, *knowledge.store.add(path)) for path in paths]
