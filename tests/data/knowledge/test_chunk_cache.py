"""The cache of chunks: read once, bounded by characters, those used longest ago go first."""

from llmos.data.documents.chunks import Chunk
from llmos.data.knowledge.chunk_cache import ChunkCache
from llmos.data.knowledge.entries import EntryChunk


def chunks(text):
    return [EntryChunk(Chunk(start=0, end=len(text), page=None, path=()), text)]


def test_chunks_are_read_once_until_there_are_too_many():
    cache, read = ChunkCache(max_characters=10), []

    def get(blob, size):
        def open():
            read.append(blob)
            return chunks("x" * size)

        return cache.get(blob, open)

    get("a", 4)
    get("b", 4)
    get("a", 4)
    get("c", 4)
    get("a", 4)
    get("b", 4)
    assert read == ["a", "b", "c", "b"]
    assert len(get("large", 100)[0].text) == 100
    get("a", 4)
    assert read[-2:] == ["large", "a"]
    cache.clear()
    get("a", 4)
    assert read[-1] == "a"
