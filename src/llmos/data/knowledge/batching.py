"""Batches: puts the texts of documents together to batches, of which several are embedded at once."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from llmos.core.errors import BadRequest, LLMOSError
from llmos.data.knowledge.embedder import Embedder, Vectors

BATCH_TEXTS = 64
BATCH_CHARACTERS = 64 * 1024

BATCHES_UNDER_WAY = 4
"""So that the model never waits for the next one."""


@dataclass(slots=True)
class _Batch:
    texts: list[str] = field(default_factory=list)
    num_characters: int = 0
    vectors: "Future[Vectors] | None" = None

    @property
    def is_full(self) -> bool:
        return len(self.texts) >= BATCH_TEXTS or self.num_characters >= BATCH_CHARACTERS


@dataclass(slots=True)
class Piece:
    """The texts of one document in a batch."""

    embedder: Embedder
    batch: _Batch
    start: int
    end: int

    @property
    def is_done(self) -> bool:
        return self.batch.vectors is not None and self.batch.vectors.done()

    def vectors(self) -> Vectors:
        """Wait for the vectors of these texts. Raises what embedding them raises."""
        assert self.batch.vectors is not None, "it was sent"
        try:
            return self.batch.vectors.result()[self.start : self.end]
        except BadRequest:
            # It may be about the text of another document, such as one that a guardrail blocks.
            if self.end - self.start == len(self.batch.texts):
                raise
            return self.embedder.embed(self.batch.texts[self.start : self.end], "document").result()


class Batches:
    """Belongs to one thread."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._filling = _Batch()
        self._under_way: deque[_Batch] = deque()

    def add(self, texts: Sequence[str]) -> list[Piece]:
        """Add the texts of a document, and begin to embed the batches that are full. Waits while many are under way."""
        pieces: list[Piece] = []
        for text in texts:
            batch = self._filling
            if not pieces or pieces[-1].batch is not batch:
                pieces.append(Piece(self._embedder, batch, len(batch.texts), len(batch.texts)))
            batch.texts.append(text)
            batch.num_characters += len(text)
            pieces[-1].end += 1
            if batch.is_full:
                self.send()
        return pieces

    def send(self) -> None:
        """Begin to embed the texts that are waiting for a full batch."""
        if not self._filling.texts:
            return
        while len(self._under_way) >= BATCHES_UNDER_WAY:
            with suppress(LLMOSError):  # Its pieces raise it.
                _result(self._under_way.popleft())
        batch, self._filling = self._filling, _Batch()
        batch.vectors = self._embedder.embed(batch.texts, "document")
        self._under_way.append(batch)


def _result(batch: _Batch) -> Vectors:
    assert batch.vectors is not None
    return batch.vectors.result()
