"""Preparing: from files to entries. Files are parsed in processes apart, while texts are cut and embedded here.

    files ─→ parsing threads ─→ cut into chunks ─→ batches of texts ─→ Embedder ─→ writing threads ─→ PendingEntries
             a few documents                       several under way
             ahead

The queues are bounded, so that memory is, too. While parsing and cutting are faster than the model, it never waits.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from llmos.core.errors import BadDocument, BadRequest
from llmos.core.progress import Progress
from llmos.core.store.blob_files import digest_of
from llmos.data.documents.chunks import ChunkRecipe, cut_chunks, text_of
from llmos.data.documents.document import PARSER_VERSION, Document
from llmos.data.documents.parsing import parse_document
from llmos.data.knowledge.batching import Batches, Piece
from llmos.data.knowledge.embedder import Embedder, Vectors, unit
from llmos.data.knowledge.entries import Entry, EntryChunk, read_document
from llmos.data.knowledge.manifest import EntryKey, ManifestDocument
from llmos.data.knowledge.pending import PendingEntries
from llmos.data.knowledge.problems import Problems
from llmos.data.knowledge.versions import EntryFile, StoredDocument

OnError = Literal["stop", "skip"]

FindEntry = Callable[[str], EntryFile | None]
"""Return the entry in the store that has a key."""

_NUM_PARSERS = max(1, min(4, (os.cpu_count() or 1) // 4))
"""A model on few cores takes longer than one process that parses; with more cores it is faster."""
_NUM_WRITERS = 4
"""They wait for the disk."""
_MAX_WRITING = 16
"""Entries that are being written, or wait for it."""
_AHEAD = 8
"""Documents that are parsed ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A document that the version is to have."""

    document: ManifestDocument
    """Its digest is empty where a file is read."""
    path: Path | None
    """The file; None: `kept`."""
    kept: Path | None = None
    """The entry of the same document in another version."""


@dataclass(slots=True)
class _Parsed:
    """A document whose chunks have to be embedded."""

    manifest: ManifestDocument
    document: Document


@dataclass(slots=True)
class _Cut:
    """A document whose chunks are being embedded."""

    made: "_Made"
    document: Document
    chunks: Sequence[EntryChunk]
    pieces: Sequence[Piece]


@dataclass(slots=True)
class _Made:
    """An entry that is made here, and the documents that have it: those with the same content."""

    entry_key: str
    documents: list[ManifestDocument]
    entry: EntryFile | None = None
    """None while it is made, and where it can't be."""


class Preparer:
    """Prepares the documents of one version."""

    def __init__(
        self, pending: PendingEntries, find: FindEntry, recipe: ChunkRecipe, embedder: Embedder, on_error: OnError
    ) -> None:
        self._pending, self._find, self._recipe, self._embedder = pending, find, recipe, embedder
        self._stops = on_error == "stop"
        self._batches = Batches(embedder)
        self._embedding: deque[_Cut] = deque()
        self._writing: deque[Future[None]] = deque()
        self._known: list[StoredDocument] = []
        self._made: dict[str, _Made] = {}
        """By the keys of entries."""
        self.problems = Problems()

    def prepare(self, wanted: Sequence[Wanted], progress: Progress) -> list[StoredDocument]:
        """Return the documents, by name. Raises BadDocument for those that can't be read, unless they are skipped."""
        with ExitStack() as held:
            parsers = held.enter_context(ThreadPoolExecutor(_NUM_PARSERS, thread_name_prefix="parsing"))
            writers = held.enter_context(ThreadPoolExecutor(_NUM_WRITERS, thread_name_prefix="writing"))
            try:
                for number, found in enumerate(_ahead(parsers, self._read, wanted), 1):
                    self._take(found)
                    self._write(writers, wait=False)
                    progress("documents", number, len(wanted))
                self._batches.send()
                self._write(writers, wait=True)
            except BaseException:
                parsers.shutdown(cancel_futures=True)
                raise
        if self.problems.count and self._stops:
            raise self.problems.as_error()
        made = [
            StoredDocument.of(document, each.entry)
            for each in self._made.values()
            if each.entry is not None
            for document in each.documents
        ]
        return sorted([*self._known, *made], key=lambda each: each.name)

    def _read(self, wanted: Wanted) -> StoredDocument | _Parsed | str:
        """Return a document whose entry is here already, or its text, or the reason why it can't be read."""
        document = wanted.document
        if wanted.path is None:
            assert wanted.kept is not None
            return self._find_known(document) or _Parsed(document, read_document(wanted.kept))
        try:
            document = _of_file(document, digest_of(wanted.path))
            if (known := self._find_known(document)) is not None:
                return known
            parsed = parse_document(wanted.path, document.name)
        except BadDocument as error:
            return error.message
        except OSError as error:
            return f"{document.name} can't be read: {error.strerror or error}."
        return _Parsed(_of_file(document, f"sha256:{parsed.digest}"), parsed)  # It may have changed since.

    def _find_known(self, document: ManifestDocument) -> StoredDocument | None:
        key = self._key(document)
        entry = self._find(key) or self._pending.find(key)
        return None if entry is None else StoredDocument.of(document, entry)

    def _key(self, document: ManifestDocument) -> str:
        return EntryKey.of(document, self._recipe, self._embedder.digest).hex

    def _take(self, found: StoredDocument | _Parsed | str) -> None:
        """Take a document as it is, or cut it and begin to embed it."""
        if isinstance(found, StoredDocument):
            self._known.append(found)
        elif isinstance(found, str):
            self.problems.add(found)
        elif (made := self._made.get(key := self._key(found.manifest))) is not None:
            made.documents.append(found.manifest)
        elif not (self._stops and self.problems.count):  # The others are read for their problems only.
            self._made[key] = made = _Made(key, [found.manifest])
            self._cut(found, made)

    def _cut(self, parsed: _Parsed, made: _Made) -> None:
        """Cut a document into chunks and put their texts into batches."""
        document, recipe, count = parsed.document, self._recipe, self._embedder.count_tokens
        try:
            chunks = [
                EntryChunk(chunk, text_of(document, chunk, recipe, count))
                for chunk in cut_chunks(document, recipe, count)
            ]
        except BadRequest as error:  # The tokenizer can't take it.
            self._fail(made, f"can't be cut into chunks. {error.message}")
            return
        self._embedding.append(_Cut(made, document, chunks, self._batches.add([each.text for each in chunks])))

    def _fail(self, made: _Made, reason: str) -> None:
        """Count the documents of an entry that can't be made as problems."""
        for document in made.documents:
            self.problems.add(f"{document.name} {reason}")
        del self._made[made.entry_key]

    def _write(self, writers: ThreadPoolExecutor, *, wait: bool) -> None:
        """Let the entries be written of the documents that are embedded; with `wait`, of all."""
        while self._embedding and (wait or all(piece.is_done for piece in self._embedding[0].pieces)):
            cut = self._embedding.popleft()
            try:
                vectors = [piece.vectors() for piece in cut.pieces]
            except BadRequest as error:  # A guardrail blocks it.
                self._fail(cut.made, f"can't be embedded. {error.message}")
                continue
            self._writing.append(writers.submit(self._store, cut, vectors))
            self._collect(_MAX_WRITING)
        if wait:
            self._collect(0)

    def _collect(self, num_left: int) -> None:
        """Wait until at most `num_left` entries are being written. Raises what writing them raised."""
        while len(self._writing) > num_left:
            self._writing.popleft().result()

    def _store(self, cut: _Cut, pieces: Sequence[Vectors]) -> None:
        vectors = unit(np.concatenate(pieces)) if pieces else np.zeros((0, 0), np.float32)
        cut.made.entry = self._pending.add(cut.made.entry_key, Entry(cut.document, cut.chunks, vectors))


def _of_file(document: ManifestDocument, digest: str) -> ManifestDocument:
    return msgspec.structs.replace(document, digest=digest, parser=PARSER_VERSION)


def _ahead(
    threads: ThreadPoolExecutor, read: Callable[[Wanted], StoredDocument | _Parsed | str], wanted: Sequence[Wanted]
) -> Iterator[StoredDocument | _Parsed | str]:
    """Yield what `read` returns for each, in order, while threads read the next ones."""
    pending: deque[Future[StoredDocument | _Parsed | str]] = deque()
    for each in wanted:
        pending.append(threads.submit(read, each))
        if len(pending) > _AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
