"""Adding: makes the next version of knowledge, from files, or without some documents of the newest version.

One process at a time changes a name. Nothing is visible before the last step, which is one transaction: the version
before answers until then, and stays if the process dies. What was embedded by then is there for the next attempt.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.core.errors import BadRequest, NotFound
from llmos.core.names import check_name
from llmos.core.progress import Progress, no_progress
from llmos.core.suggest import nearest
from llmos.data.documents.chunks import ChunkRecipe, read_recipe
from llmos.data.documents.document import PARSER_VERSION
from llmos.data.documents.parsing import check_installed
from llmos.data.knowledge.embedder import DEFAULT_EMBEDDING, Embedder, OpenEmbedder
from llmos.data.knowledge.indexing import build_version_index
from llmos.data.knowledge.knowledge import Draft, ProjectKnowledge
from llmos.data.knowledge.manifest import EntryKey, Manifest, ManifestDocument
from llmos.data.knowledge.pending import PendingEntries, open_pending
from llmos.data.knowledge.preparing import OnError, Preparer, Wanted
from llmos.data.knowledge.sources import SourceDocument, check_sources
from llmos.data.knowledge.versions import EntryFile, KnowledgeVersion, StoredDocument


@dataclass(frozen=True, kw_only=True, slots=True)
class AddOptions:
    """The options with which documents become knowledge. What is None stays as it is in the newest version."""

    embedding: str | None = None
    """The reference of the model that makes the vectors; minilm for the first version."""
    max_tokens: int | None = None
    """The most tokens of a chunk; by default for the first version, the most that the model accepts, up to 256."""
    overlap_tokens: int | None = None
    on_error: OnError = "stop"
    """Stop at documents that can't be read, or skip them."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Counts that are kept with the version."""


def add_documents(
    knowledge: ProjectKnowledge,
    name: str,
    sources: Sequence[SourceDocument],
    open_embedder: OpenEmbedder,
    options: AddOptions = AddOptions(),
    *,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> KnowledgeVersion:
    """Add documents to the newest version, or replace those with the same names, and return the new version; the newest
    one where nothing changes.

    Raises BadDocument for documents that can't be read, BadRequest for options that make no sense, and what embedding
    raises.
    """
    check_sources(sources)
    with _changing(knowledge, name, progress) as change:
        replaced = {source.name for source in sources}
        kept = [document for document in change.documents if document.name not in replaced]
        return change.make(kept, sources, open_embedder, options, actor)


def sync_documents(
    knowledge: ProjectKnowledge,
    name: str,
    sources: Sequence[SourceDocument],
    open_embedder: OpenEmbedder,
    options: AddOptions = AddOptions(),
    *,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> KnowledgeVersion:
    """Make these documents all documents of the next version, and return it. Otherwise like add_documents()."""
    check_sources(sources)
    with _changing(knowledge, name, progress) as change:
        return change.make([], sources, open_embedder, options, actor)


def remove_documents(
    knowledge: ProjectKnowledge, name: str, documents: Sequence[str], *, actor: str | None = None
) -> KnowledgeVersion:
    """Return a new version without these documents of the newest one. Raises NotFound, with similar names."""
    with _changing(knowledge, name, no_progress) as change:
        return change.remove(documents, actor)


@contextmanager
def _changing(knowledge: ProjectKnowledge, name: str, progress: Progress) -> Iterator["_Change"]:
    """Let no other process change the name until the block ends."""
    check_name(name, "knowledge")

    def on_wait() -> None:
        progress(f"waiting for another change of {name}", 0, None)

    with open_pending(knowledge, name, on_wait) as pending:
        base = knowledge.newest(name)
        documents = [] if base is None else knowledge.documents(base)
        yield _Change(knowledge, name, pending, base, documents, progress)


@dataclass(slots=True)
class _Change:
    """The making of the next version of a name."""

    knowledge: ProjectKnowledge
    name: str
    pending: PendingEntries
    base: KnowledgeVersion | None
    """The newest version."""
    documents: Sequence[StoredDocument]
    """Its documents."""
    progress: Progress

    def make(
        self,
        kept: Sequence[StoredDocument],
        sources: Sequence[SourceDocument],
        open_embedder: OpenEmbedder,
        options: AddOptions,
        actor: str | None,
    ) -> KnowledgeVersion:
        """Return the version with these documents of the newest version, and these files."""
        check_installed()
        embedder = open_embedder(options.embedding or (DEFAULT_EMBEDDING if self.base is None else self.base.embedding))
        recipe = self._recipe(options, embedder)
        before = {document.name: document for document in self.documents}
        wanted = [
            *(Wanted(document=each.in_manifest, path=None, kept=self.knowledge.entry_path(each)) for each in kept),
            *(self._wanted(source, before.get(source.name)) for source in sources),
        ]
        preparer = Preparer(self.pending, self._finder(recipe, embedder), recipe, embedder, options.on_error)
        documents = preparer.prepare(wanted, self.progress)
        if preparer.problems.count and preparer.problems.count == len(sources):
            raise preparer.problems.as_error()  # A broken disk must not empty what answers.
        manifest = Manifest(
            recipe=recipe, embedding=embedder.digest, documents=[each.in_manifest for each in documents]
        )
        report = {**options.report, **preparer.problems.as_report()}
        return self._record(manifest, embedder.ref, documents, report, actor)

    def remove(self, names: Sequence[str], actor: str | None) -> KnowledgeVersion:
        """Return the version without the documents with these names."""
        if self.base is None:
            self.knowledge.resolve(self.name)
            raise AssertionError("it has no version")
        known = {document.name for document in self.documents}
        for name in names:
            if name not in known:
                similar = nearest(name, known)
                advice = f" Did you mean {' or '.join(similar)}?" if similar else ""
                raise NotFound(f"{self.base.ref} has no document {name!r:.200}.{advice}", param="documents")
        gone = set(names)
        documents = [each for each in self.documents if each.name not in gone]
        manifest = Manifest(
            recipe=self.base.recipe,
            embedding=self.base.embedding_digest,
            documents=[each.in_manifest for each in documents],
        )
        return self._record(manifest, self.base.embedding, documents, {}, actor)

    def _wanted(self, source: SourceDocument, before: StoredDocument | None) -> Wanted:
        """Return the document of a file. What the source doesn't say is as in the document that it replaces."""
        metadata = source.metadata if source.metadata is not None else ({} if before is None else before.metadata)
        subject = source.subject or (None if before is None else before.subject)
        document = ManifestDocument(
            name=source.name, digest=source.digest or "", parser=PARSER_VERSION, metadata=metadata, subject=subject
        )
        if source.path is not None:
            return Wanted(document=document, path=source.path)
        found = self.knowledge.find_document(source.name, document.digest)
        if found is None:
            raise NotFound(f"{source.name} ({source.digest}) was not uploaded, and no document has it.", param="files")
        return Wanted(document=document, path=None, kept=self.knowledge.entry_path(found))

    def _recipe(self, options: AddOptions, embedder: Embedder) -> ChunkRecipe:
        """Return the recipe of the options; what they don't say is as in the newest version. Raises BadRequest."""
        before = ChunkRecipe() if self.base is None else self.base.recipe
        most = embedder.max_tokens
        fields = {
            **msgspec.to_builtins(before),
            "max_tokens": min(before.max_tokens, most) if options.max_tokens is None else options.max_tokens,
            "overlap_tokens": before.overlap_tokens if options.overlap_tokens is None else options.overlap_tokens,
        }
        recipe = read_recipe(fields)
        if recipe.max_tokens > most:
            raise BadRequest(
                f"{embedder.ref} takes texts of {most:,} tokens, so chunks can't have {recipe.max_tokens:,}. Leave"
                " max_tokens out, or choose another embedding model.",
                param="max_tokens",
            )
        return recipe

    def _finder(self, recipe: ChunkRecipe, embedder: Embedder) -> "_Finder":
        known: dict[str, EntryFile] = {}
        if self.base is not None and (self.base.recipe, self.base.embedding_digest) == (recipe, embedder.digest):
            known = {
                EntryKey.of(each.in_manifest, recipe, embedder.digest).hex: each.entry
                for each in self.documents
                if self.knowledge.store.has(each.entry.blob, each.entry.size)
            }
        return _Finder(known, self.knowledge)

    def _record(
        self,
        manifest: Manifest,
        embedding: str,
        documents: Sequence[StoredDocument],
        report: Mapping[str, Any],
        actor: str | None,
    ) -> KnowledgeVersion:
        """Make the index, and list the version."""
        if self.base is not None and self._has_newest(manifest):
            return self.base
        with self.knowledge.store.publishing():
            self.progress("index", 0, None)
            index_files = build_version_index(self.knowledge, self.pending.scratch, documents)
            self.progress("index", 1, 1)
            return self.knowledge.record(
                Draft(
                    name=self.name,
                    manifest=manifest,
                    embedding=embedding,
                    documents=documents,
                    index_files=index_files,
                    report=report,
                    base=self.base,
                    actor=actor,
                )
            )

    def _has_newest(self, manifest: Manifest) -> bool:
        """Return whether the newest version has exactly these documents. It may have lost some that were erased."""
        assert self.base is not None
        before = Manifest(
            recipe=self.base.recipe,
            embedding=self.base.embedding_digest,
            documents=[document.in_manifest for document in self.documents],
        )
        return before.digest == manifest.digest and self._is_whole(self.base)

    def _is_whole(self, base: KnowledgeVersion) -> bool:
        """Return whether all of the newest version is in the store: it may have been discarded with lost keys."""
        blobs = [(each.entry.blob, each.entry.size) for each in self.documents]
        blobs += [(file.blob, file.size) for file in base.index_files]
        return all(self.knowledge.store.has(blob, size) for blob, size in blobs)


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds entries in the store: first those of the newest version."""

    known: Mapping[str, EntryFile]
    knowledge: ProjectKnowledge

    def __call__(self, entry_key: str) -> EntryFile | None:
        return self.known.get(entry_key) or self.knowledge.find_entry(entry_key)
