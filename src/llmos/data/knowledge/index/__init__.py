"""The hybrid index of a version: BM25 on words, cosines of vectors, joined by reciprocal ranks. Pure: no models and no
database.

    chunks = [IndexedChunk(document="tea.md", chunk=0, text="Tea\\n\\nSteep for two minutes.", metadata={"year": 2026})]
    paths = build_index(folder, chunks, vectors)             # vectors: float32 [chunks, dimensions], of length 1
    digests = {path.name: store(path) for path in paths}     # the names are the keys of open_index()

    with open_index({"catalog.msgpack": Path(…), "text.postings": Path(…), "vectors.f32": Path(…)}) as index:
        for found in index.search("how long does tea steep", vector, limit=5):
            found.document, found.chunk, found.score         # score orders them: the sum of reciprocal ranks
            found.bm25, found.text_rank                      # None where the text part didn't find the chunk
            found.cosine, found.vector_rank                  # the cosine of each hit, if there was a vector
        index.search("tea", None)                            # BM25 alone; score is the BM25
        index.search(None, vector)                           # vectors alone; score is the cosine
        index.search("tea", vector, mode="text")             # as if there were no vector
        index.search("tea", vector, filters={"type": "gte", "key": "year", "value": 2025}, documents=["tea.md"])

    words.query_terms("How long?")                           # what the text part looks up: how, long
    words.terms_of("Steep for two minutes.")                 # what it has of a chunk: steep, for, two, minut

A path in open_index() may be a SealedPath, and bytes may stand for any path. Plain files stay where they are, mapped.
Any thread may search, several at a time. build_index() reads the chunks once, in order, and the vectors after the last
one. An index is searched in a few milliseconds (docs/decisions/0017).

    building | index
    catalog | graph | text_part
    inverted_file
    files | filters | fusion | vectors | words
    ranking | stemming
"""

from collections.abc import Mapping
from pathlib import Path

from llmos.data.knowledge.index.building import build_index
from llmos.data.knowledge.index.catalog import IndexedChunk
from llmos.data.knowledge.index.index import Found, Index, Mode

__all__ = ["Found", "Index", "IndexedChunk", "Mode", "build_index", "open_index"]


def open_index(files: Mapping[str, Path | bytes]) -> Index:
    """Open the files of build_index() by their names. Raises BadModelFile if one is missing or damaged."""
    return Index(files)
