"""ChunkCache: the chunks of the entries that hits came from last, so that a search needn't decrypt and unpack them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from llmos.data.knowledge.entries import EntryChunk

MAX_CHARACTERS = 64 << 20
"""The most characters of the texts of all cached chunks together."""


class ChunkCache:
    """Any thread may use it."""

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters, self._num_characters = max_characters, 0
        self._lock = threading.Lock()
        self._chunks: OrderedDict[str, Sequence[EntryChunk]] = OrderedDict()
        """{blob of the entry: its chunks}; those used last come last."""

    def get(self, blob: str, read: Callable[[], Sequence[EntryChunk]]) -> Sequence[EntryChunk]:
        """Return the chunks of an entry, which `read` returns if they aren't here."""
        with self._lock:
            if (found := self._chunks.get(blob)) is not None:
                self._chunks.move_to_end(blob)
                return found
        found = read()
        with self._lock:
            if blob not in self._chunks:
                self._chunks[blob] = found
                self._num_characters += _num_characters(found)
            while self._num_characters > self._max_characters:
                _, evicted = self._chunks.popitem(last=False)
                self._num_characters -= _num_characters(evicted)
        return found

    def clear(self) -> None:
        with self._lock:
            self._chunks.clear()
            self._num_characters = 0


def _num_characters(chunks: Sequence[EntryChunk]) -> int:
    return sum(len(each.text) for each in chunks)
