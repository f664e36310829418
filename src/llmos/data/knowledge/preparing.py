"""Preparing: from files to entries. Files are parsed in processes apart, while texts are cut and embedded here.

    files ─→ parsing threads ─→ cut into chunks ─→ batches of texts ─→ Embedder ─→ entries in an EntryFolder
             a few documents                       several under way
             ahead

The queues are bounded, so that memory is, too. While parsing and cutting are faster than the model, it never waits.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from llmos.core.errors import BadDocument, BadRequest
from llmos.core.progress import Progress
from llmos.core.store.store import digest_of
from llmos.data.documents.chunks import ChunkRecipe, cut_chunks, text_of
from llmos.data.documents.document import PARSER_VERSION, Document
from llmos.data.documents.parsing import parse_document
from llmos.data.knowledge.embedder import Embedder, Vectors, unit
from llmos.data.knowledge.entries import Entry, EntryChunk, Facts, read_document
from llmos.data.knowledge.entry_folder import EntryFolder
from llmos.data.knowledge.manifest import EntryKey, ManifestDocument
from llmos.data.knowledge.problems import Problems
from llmos.data.knowledge.versions import EntryFile, StoredDocument

OnError = Literal["stop", "skip"]

FindEntry = Callable[[str], EntryFile | None]
"""Return the entry in the store that has a key."""

_NUM_PARSERS = max(1, min(4, (os.cpu_count() or 1) // 4))
"""A model on few cores takes longer than one process that parses; with more cores it is faster."""
_AHEAD = 8
"""Documents that are parsed ahead."""

BATCH_TEXTS = 64
BATCH_CHARACTERS = 64 * 1024
BATCHES_UNDER_WAY = 4
"""So that the model never waits for the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A document that the version is to have."""

    document: ManifestDocument
    """Its digest and parser are empty where a file is read."""
    path: Path | None
    """The file; None: `kept`."""
    kept: Path | None = None
    """The entry of the same document in another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A document with its entry, in the store (`file`) or in the folder (`facts`)."""

    document: ManifestDocument
    entry_key: str
    file: EntryFile | None
    facts: Facts | None = None


@dataclass(slots=True)
class _Batch:
    texts: list[str] = field(default_factory=list)
    num_characters: int = 0
    vectors: "Future[Vectors] | None" = None

    def add(self, text: str) -> None:
        self.texts.append(text)
        self.num_characters += len(text)

    @property
    def is_full(self) -> bool:
        return len(self.texts) >= BATCH_TEXTS or self.num_characters >= BATCH_CHARACTERS


@dataclass(slots=True)
class _Parsed:
    """A document whose chunks are being embedded."""

    wanted: ManifestDocument
    entry_key: str
    document: Document
    chunks: list[EntryChunk] = field(default_factory=list)
    batches: list[tuple[_Batch, int, int]] = field(default_factory=list)
    """The texts of its chunks, as spans of batches."""

    def place(self, batch: _Batch) -> None:
        """Note that the next text of the batch is that of the next chunk."""
        end = len(batch.texts) + 1
        if self.batches and self.batches[-1][0] is batch:
            self.batches[-1] = (batch, self.batches[-1][1], end)
        else:
            self.batches.append((batch, end - 1, end))


class Preparer:
    """Prepares the documents of one version."""

    def __init__(
        self, folder: EntryFolder, find: FindEntry, recipe: ChunkRecipe, embedder: Embedder, on_error: OnError
    ) -> None:
        self._folder, self._find, self._recipe, self._embedder = folder, find, recipe, embedder
        self._stops = on_error == "stop"
        self.problems = Problems()
        self._parsed: deque[_Parsed] = deque()
        """In order; the first one is written first."""
        self._filling = _Batch()
        self._under_way: deque[_Batch] = deque()

    def prepare(self, wanted: Sequence[Wanted], progress: Progress) -> list[Prepared]:
        """Return the documents, by name. Raises BadDocument for those that can't be read, unless they are skipped."""
        prepared: list[Prepared] = []
        with ThreadPoolExecutor(_NUM_PARSERS, thread_name_prefix="documents") as threads:
            try:
                for number, found in enumerate(_ahead(threads, self._read, wanted), 1):
                    prepared += self._take(found)
                    progress("documents", number, len(wanted))
                prepared += self._finish()
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        if self.problems.count and self._stops:
            raise self.problems.as_error()
        return sorted(prepared, key=lambda each: each.document.name)

    def _read(self, wanted: Wanted) -> Prepared | _Parsed | str:
        """Return a document whose entry is here already, or its text, or the reason why it can't be read."""
        document = wanted.document
        if wanted.path is None:
            assert wanted.kept is not None
            return self._known(document) or _Parsed(document, self._key(document), read_document(wanted.kept))
        try:
            document = _of_file(document, digest_of(wanted.path))
            if (known := self._known(document)) is not None:
                return known
            parsed = parse_document(wanted.path, document.name)
        except BadDocument as error:
            return error.message
        except OSError as error:
            return f"{document.name} can't be read: {error.strerror or error}."
        document = _of_file(document, f"sha256:{parsed.digest}")  # It may have changed since.
        return _Parsed(document, self._key(document), parsed)

    def _known(self, document: ManifestDocument) -> Prepared | None:
        key = self._key(document)
        if (file := self._find(key)) is not None:
            return Prepared(document=document, entry_key=key, file=file)
        if (facts := self._folder.find(key)) is not None:
            return Prepared(document=document, entry_key=key, file=None, facts=facts)
        return None

    def _key(self, document: ManifestDocument) -> str:
        return EntryKey.of(document, self._recipe, self._embedder.digest).hex

    def _take(self, found: Prepared | _Parsed | str) -> list[Prepared]:
        """Cut and begin to embed a document, and return those that are complete by now."""
        if isinstance(found, Prepared):
            return [found]
        if isinstance(found, str):
            self.problems.add(found)
        elif not (self._stops and self.problems.count):  # The others are read for their problems only.
            self._cut(found)
        return self._written(wait=False)

    def _cut(self, parsed: _Parsed) -> None:
        """Cut a document into chunks and put their texts into batches."""
        document, recipe, count = parsed.document, self._recipe, self._embedder.count_tokens
        try:
            for chunk in cut_chunks(document, recipe, count):
                parsed.chunks.append(EntryChunk(chunk, text_of(document, chunk, recipe, count)))
        except BadRequest as error:  # The tokenizer can't take it.
            self.problems.add(f"{parsed.wanted.name} can't be cut into chunks. {error.message}")
            return
        self._parsed.append(parsed)
        for each in parsed.chunks:
            parsed.place(self._filling)
            self._filling.add(each.text)
            if self._filling.is_full:
                self._send()

    def _send(self) -> None:
        """Begin to embed the batch that was filled."""
        while len(self._under_way) >= BATCHES_UNDER_WAY:
            _result(self._under_way.popleft())
        batch, self._filling = self._filling, _Batch()
        batch.vectors = self._embedder.embed(batch.texts, "document")
        self._under_way.append(batch)

    def _finish(self) -> list[Prepared]:
        if self._filling.texts:
            self._send()
        return self._written(wait=True)

    def _written(self, *, wait: bool) -> list[Prepared]:
        """Write the entries of the documents that are embedded; with `wait` those of all."""
        prepared = []
        while self._parsed and (wait or all(_is_done(batch) for batch, _, _ in self._parsed[0].batches)):
            prepared.append(self._write(self._parsed.popleft()))
        return prepared

    def _write(self, parsed: _Parsed) -> Prepared:
        pieces = [_result(batch)[start:end] for batch, start, end in parsed.batches]
        vectors = unit(np.concatenate(pieces)) if pieces else np.zeros((0, 0), np.float32)
        entry = Entry(parsed.document, parsed.chunks, vectors)
        self._folder.write(parsed.entry_key, entry)
        return Prepared(document=parsed.wanted, entry_key=parsed.entry_key, file=None, facts=entry.facts)


def stored(document: ManifestDocument, entry: EntryFile) -> StoredDocument:
    """Return a document whose entry is in the store."""
    return StoredDocument(
        name=document.name,
        digest=document.digest,
        parser=document.parser,
        metadata=document.metadata,
        subject=document.subject,
        entry=entry,
    )


def _of_file(document: ManifestDocument, digest: str) -> ManifestDocument:
    return ManifestDocument(
        name=document.name,
        digest=digest,
        parser=PARSER_VERSION,
        metadata=document.metadata,
        subject=document.subject,
    )


def _is_done(batch: _Batch) -> bool:
    return batch.vectors is not None and batch.vectors.done()


def _result(batch: _Batch) -> Vectors:
    assert batch.vectors is not None
    return batch.vectors.result()


def _ahead(
    threads: ThreadPoolExecutor, read: Callable[[Wanted], Prepared | _Parsed | str], wanted: Sequence[Wanted]
) -> Iterator[Prepared | _Parsed | str]:
    """Yield what `read` returns for each, in order, while threads read the next ones."""
    pending: deque[Future[Prepared | _Parsed | str]] = deque()
    for each in wanted:
        pending.append(threads.submit(read, each))
        if len(pending) > _AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
