"""Knowledge: that of all projects, and ProjectKnowledge, that of one: names, versions, documents, searches."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound, StoreFailed
from llmos.core.names import parse_reference
from llmos.core.schemas.base import read_description
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.core.store.blobs_in_use import collect
from llmos.core.store.store import Store
from llmos.core.suggest import nearest
from llmos.core.versioning import project_queries
from llmos.core.versioning import queries as naming
from llmos.core.versioning.aliases import Aliases
from llmos.core.versioning.labels import Labels, LabelStore
from llmos.core.versioning.project_finding import ProjectFinder
from llmos.core.versioning.removing import Removed, remove_from_list
from llmos.core.who import this_user
from llmos.data.documents.document import PARSER_VERSION, Document
from llmos.data.knowledge import queries
from llmos.data.knowledge.chunk_cache import ChunkCache
from llmos.data.knowledge.embedder import Vectors
from llmos.data.knowledge.entries import EntryChunk, read_chunks, read_document
from llmos.data.knowledge.hits import Hit, Place, place_in, place_of_chunk
from llmos.data.knowledge.index import Found, Index, Mode, open_index
from llmos.data.knowledge.index_cache import IndexCache
from llmos.data.knowledge.manifest import Manifest, suffix_of
from llmos.data.knowledge.tables import KNOWLEDGE, KnowledgeVersionRow
from llmos.data.knowledge.versions import (
    EntryFile,
    IndexFile,
    KnowledgeVersion,
    StoredDocument,
    document_of,
    document_row,
    index_file_row,
    version_of,
)

INSTALLATION = "owner"
"""The installation's own project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A version with its relations, for display."""

    version: KnowledgeVersion
    aliases: tuple[str, ...]
    """The aliases that point at this version."""
    versions: tuple[str, ...]
    """The references of all versions of the name."""
    mode: Mode
    """The mode of searches that ask for none."""
    labels: Labels
    knowledge_labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version that is to be recorded. Its entries are in the store."""

    name: str
    manifest: Manifest
    embedding: str
    """The reference of the model that makes the vectors."""
    documents: Sequence[StoredDocument]
    index_files: Sequence[IndexFile]
    report: Mapping[str, Any]
    base: KnowledgeVersion | None
    """The newest version, which this one follows."""
    actor: str | None = None


class Knowledge:
    """The knowledge in one database and one store. Any thread and any process may use it."""

    def __init__(self, database: Database, store: Store, *, clock: Clock = utc_now) -> None:
        self.database, self.store, self.clock = database, store, clock
        self.indexes: IndexCache[Index] = IndexCache()
        self.chunks = ChunkCache()

    def of(self, project: str = INSTALLATION) -> "ProjectKnowledge":
        """Return the knowledge of one project."""
        return ProjectKnowledge(self, project)

    def remove_project(self, project: str) -> None:
        """Remove all knowledge of a project, and the blobs that nothing else uses."""
        with self.database.transaction(frees_space=True) as session:
            queries.remove_project(session, project)
        self.close()
        collect(self.database, self.store)

    def close(self) -> None:
        """Close the indexes, and forget what was read."""
        self.indexes.close()
        self.chunks.clear()


class ProjectKnowledge:
    """The knowledge of one project. That of another one doesn't exist for it."""

    def __init__(self, knowledge: Knowledge, project: str) -> None:
        self.project = project
        self.database, self.clock = knowledge.database, knowledge.clock
        self.store = knowledge.store.of_project(project)
        self._indexes, self._chunks = knowledge.indexes, knowledge.chunks
        self._finder = ProjectFinder(KNOWLEDGE, project)
        self.aliases = Aliases(self.database, self._finder, self.clock)
        self.labels = LabelStore(self.database, self._finder, self.clock)

    def key(self, name: str) -> str:
        """Return the key of a name in this project."""
        return self._finder.key(name)

    def resolve(self, ref: str) -> KnowledgeVersion:
        """Return the version that a reference names. Raises NotFound with similar names."""
        reference = parse_reference(ref, "knowledge")
        with self.database.session() as session:
            return version_of(self._finder.version(session, reference))

    def newest(self, name: str) -> KnowledgeVersion | None:
        """Return the newest version of a name; None if it has none."""
        with self.database.session() as session:
            rows = project_queries.versions(session, KNOWLEDGE, self._finder.key(name))
            return version_of(rows[-1]) if rows else None

    def list(self) -> Sequence[KnowledgeVersion]:
        """Return all versions, by name and number."""
        with self.database.session() as session:
            rows = project_queries.versions_of_project(session, KNOWLEDGE, self.project)
            return [version_of(row) for row in rows]

    def labels_of(self, versions: Sequence[KnowledgeVersion]) -> Mapping[tuple[str, int], Labels]:
        """Return {(key of the name, number): labels} of these versions and their names."""
        return self.labels.all({self._finder.key(version.knowledge) for version in versions})

    def show(self, ref: str) -> Details:
        """Return a version with its aliases, labels and siblings. Raises NotFound."""
        version = self.resolve(ref)
        key = self._finder.key(version.knowledge)
        with self.database.session() as session:
            numbers = naming.aliases(session, KNOWLEDGE, key)
            siblings = [row.ref for row in project_queries.versions(session, KNOWLEDGE, key)]
            evaluated = queries.last_evaluation(session, key, version.number, version.embedding_digest)
            mode = "hybrid" if evaluated is None else read_description(KnowledgeEvalDescription, evaluated.report).mode
        labels = self.labels_of([version])
        return Details(
            version=version,
            aliases=tuple(name for name, number in numbers.items() if number == version.number),
            versions=tuple(siblings),
            mode=mode,
            labels=labels.get((key, version.number), Labels()),
            knowledge_labels=labels.get((key, 0), Labels()),
        )

    def documents(
        self, version: KnowledgeVersion, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[StoredDocument]:
        """Return the documents of a version, by name; at most `limit` of them, behind the one called `after`.

        Raises NotFound if there is none called so.
        """
        key = self._finder.key(version.knowledge)
        with self.database.session() as session:
            first = 0
            if after is not None:
                before = queries.documents(session, key, version.number, [after])
                first = before[0].position + 1 if before else -1
            if first >= 0:
                rows = queries.documents(session, key, version.number, first=first, limit=limit)
                return [document_of(row) for row in rows]
        raise self._no_document(version, str(after))

    def document(self, version: KnowledgeVersion, name: str) -> StoredDocument:
        """Return a document of a version. Raises NotFound with similar names."""
        with self.database.session() as session:
            found = queries.documents(session, self._finder.key(version.knowledge), version.number, [name])
        if found:
            return document_of(found[0])
        raise self._no_document(version, name)

    def _no_document(self, version: KnowledgeVersion, name: str) -> NotFound:
        similar = nearest(name, [each.name for each in self.documents(version)])
        advice = (
            f" Did you mean {' or '.join(similar)}?"
            if similar
            else f" To list them: llmos knowledge documents {version.ref}"
        )
        return NotFound(f"{version.ref} has no document {name!r:.200}.{advice}", param="document")

    def text(self, version: KnowledgeVersion, name: str) -> Document:
        """Return the text of a document with its sections, tables and pages. Raises NotFound."""
        return read_document(self.entry_path(self.document(version, name)))

    def passage(self, version: KnowledgeVersion, name: str, start: int = 0, end: int | None = None) -> Place:
        """Return what a citation points to; without a span, the whole text. Raises NotFound, and BadRequest for a span
        that the text doesn't have."""
        stored = self.document(version, name)
        return place_in(version, stored, read_document(self.entry_path(stored)), start, end)

    def search(
        self,
        version: KnowledgeVersion,
        text: str | None,
        vector: Vectors | None = None,
        *,
        limit: int = 10,
        mode: Mode = "hybrid",
        unknown_share: float = 0.0,
        filters: Mapping[str, Any] | None = None,
        documents: Collection[str] | None = None,
    ) -> Sequence[Hit]:
        """Return the best chunks for a query, best first.

        `text`: its words; None: search by the vector alone. `vector`: the query's, made by the version's embedding
        model; None: search by the words alone. `unknown_share`: that of the query's tokens that this model doesn't
        know; of many, a hybrid search takes what the words find, if anything. `filters`: on metadata, see
        index/filters.py. `documents`: search only in these. Raises BadRequest for filters that make no sense.
        """
        if not version.num_chunks:
            return []
        with self._opened_index(version) as index:
            found = index.search(
                text,
                vector,
                limit=limit,
                mode=mode,
                unknown_share=unknown_share,
                filters=filters,
                documents=documents,
            )
        return self._hits(version, found)

    def _chunks_of(self, document: StoredDocument) -> Sequence[EntryChunk]:
        return self._chunks.get(document.entry.blob, lambda: read_chunks(self.entry_path(document)))

    def entry_path(self, document: StoredDocument) -> Path:
        return self.store.blob_path(document.entry.blob)

    def find_entry(self, entry_key: str) -> EntryFile | None:
        """Return the entry of any version with this key, which is in the store."""
        with self.database.session() as session:
            row = queries.document_with_entry(session, self.project, entry_key)
            found = None if row is None else document_of(row).entry
        return found if found is not None and self.store.has(found.blob, found.size) else None

    def find_document(self, name: str, digest: str) -> StoredDocument | None:
        """Return a document of any version that was made of the same file, as a document with this name would be."""
        with self.database.session() as session:
            found = [document_of(row) for row in queries.documents_with_digest(session, self.project, digest)]
        for document in found:
            is_alike = suffix_of(document.name) == suffix_of(name) and document.parser == PARSER_VERSION
            if is_alike and self.store.has(document.entry.blob, document.entry.size):
                return document
        return None

    def remove(self, ref: str, *, actor: str | None = None) -> Removed:
        """Remove everything under a name (NAME), one version (NAME@3), or only an alias (NAME:ALIAS), and delete unused
        blobs.

        Raises NotFound, and Conflict for a version that an alias points at.
        """
        reference = parse_reference(ref, "knowledge")
        with self.database.transaction(frees_space=True) as session:
            removed = remove_from_list(session, self._finder, reference, self.clock(), actor)
        return replace(removed, freed_bytes=collect(self.database, self.store) if removed.versions else 0)

    def record(self, draft: Draft) -> KnowledgeVersion:
        """List a version and return it. Call it inside store.publishing().

        Raises Conflict where another version was added meanwhile, and StoreFailed where an entry was removed.
        """
        for document in draft.documents:
            if not self.store.has(document.entry.blob, document.entry.size):
                raise StoreFailed(f"The entry of {document.name} was removed meanwhile. Try again.")
        key, now = self._finder.key(draft.name), self.clock()
        with self.database.transaction() as session:
            project_queries.ensure_name(session, KNOWLEDGE, key, now)
            rows = project_queries.versions(session, KNOWLEDGE, key)
            if (rows[-1].number if rows else None) != (None if draft.base is None else draft.base.number):
                raise Conflict(f"Another process changed {draft.name} meanwhile. Run the same again.")
            row = KnowledgeVersionRow(
                owner=key,
                number=project_queries.next_number(session, KNOWLEDGE, key),
                digest=draft.manifest.digest,
                created_at=now,
                made_by=draft.actor or this_user(),
                recipe=msgspec.to_builtins(draft.manifest.recipe),
                embedding=draft.embedding,
                embedding_digest=draft.manifest.embedding,
                dimensions=max((each.entry.facts.dimensions for each in draft.documents), default=0),
                num_documents=len(draft.documents),
                num_chunks=sum(each.entry.facts.num_chunks for each in draft.documents),
                entry_bytes=sum(each.entry.size for each in draft.documents),
                report=dict(draft.report),
            )
            row.index_files.extend(index_file_row(i, each) for i, each in enumerate(draft.index_files))
            session.add(row)
            session.flush()
            for position, document in enumerate(draft.documents):
                added = document_row(position, document, draft.manifest.recipe, draft.manifest.embedding)
                added.version_id = row.id
                session.add(added)
            session.flush()
            version = version_of(row)
            describe_action(version.ref, documents=version.num_documents)
            return version

    @contextmanager
    def _opened_index(self, version: KnowledgeVersion) -> Iterator[Index]:
        key = " ".join(file.blob for file in version.index_files)
        size = sum(file.size for file in version.index_files)

        def open() -> Index:
            return open_index({file.name: self.store.blob_path(file.blob) for file in version.index_files})

        with self._indexes.lent(key, size, open) as index:
            yield index

    def _hits(self, version: KnowledgeVersion, found: Sequence[Found]) -> Sequence[Hit]:
        """Return the hits without those of documents that were erased meanwhile."""
        names = {each.document for each in found}
        with self.database.session() as session:
            rows = queries.documents(session, self._finder.key(version.knowledge), version.number, names)
            documents = {row.name: document_of(row) for row in rows}
        chunks = {name: self._chunks_of(document) for name, document in documents.items()}
        return [
            _hit(version, documents[each.document], chunks[each.document], each)
            for each in found
            if each.document in documents
        ]


def _hit(version: KnowledgeVersion, document: StoredDocument, chunks: Sequence[EntryChunk], found: Found) -> Hit:
    chunk = chunks[found.chunk]
    return Hit(
        text=chunk.text,
        score=found.score,
        cosine=found.cosine,
        bm25=found.bm25,
        place=place_of_chunk(version, document, chunk),
        metadata=document.metadata,
    )
