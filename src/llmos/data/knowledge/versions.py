"""KnowledgeVersion, StoredDocument and IndexFile: what the database knows of a version, independent of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.knowledge import MetadataValue
from llmos.data.documents.chunks import ChunkRecipe
from llmos.data.knowledge.entries import Facts
from llmos.data.knowledge.manifest import EntryKey, ManifestDocument
from llmos.data.knowledge.tables import DocumentRow, EntryColumns, IndexFileRow, KnowledgeVersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFile:
    """An entry in the store, and what it has."""

    blob: str
    """The digest of the file."""
    size: int
    """Bytes of the file."""
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document of a version."""

    name: str
    digest: str
    """sha256:<hex> of the file."""
    parser: int
    """The version of the parsers that read it."""
    metadata: Mapping[str, MetadataValue]
    subject: str | None
    """The person that it is about, as a keyed hash."""
    entry: EntryFile

    @classmethod
    def of(cls, document: ManifestDocument, entry: EntryFile) -> "StoredDocument":
        return cls(
            name=document.name,
            digest=document.digest,
            parser=document.parser,
            metadata=document.metadata,
            subject=document.subject,
            entry=entry,
        )

    @property
    def in_manifest(self) -> ManifestDocument:
        return ManifestDocument(
            name=self.name, digest=self.digest, parser=self.parser, metadata=self.metadata, subject=self.subject
        )


@dataclass(frozen=True, slots=True)
class IndexFile:
    name: str
    blob: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeVersion:
    """Immutable documents with their chunks, vectors and index."""

    project: str
    knowledge: str
    """The name."""
    number: int
    digest: str
    """sha256:<hex> of the manifest."""
    created_at: datetime
    recipe: ChunkRecipe
    embedding: str
    """The reference of the model that makes the vectors."""
    embedding_digest: str
    dimensions: int
    """The length of the vectors; 0 where there are none."""
    num_documents: int
    num_chunks: int
    entry_bytes: int
    report: Mapping[str, Any]
    """Counts from the making of the version."""
    made_by: str | None
    index_files: tuple[IndexFile, ...]
    """Empty where there are no chunks."""

    @property
    def ref(self) -> str:
        """NAME@NUMBER."""
        return f"{self.knowledge}@{self.number}"

    @property
    def size(self) -> int:
        """The bytes of all entries and of the index."""
        return self.entry_bytes + sum(file.size for file in self.index_files)


def version_of(row: KnowledgeVersionRow) -> KnowledgeVersion:
    """Return the version in a database row."""
    project, _, name = row.owner.partition("/")
    return KnowledgeVersion(
        project=project,
        knowledge=name,
        number=row.number,
        digest=row.digest,
        created_at=row.created_at,
        recipe=msgspec.convert(row.recipe, ChunkRecipe),
        embedding=row.embedding,
        embedding_digest=row.embedding_digest,
        dimensions=row.dimensions,
        num_documents=row.num_documents,
        num_chunks=row.num_chunks,
        entry_bytes=row.entry_bytes,
        report=row.report or {},
        made_by=row.made_by,
        index_files=tuple(IndexFile(each.name, each.blob, each.size) for each in row.index_files),
    )


def document_of(row: DocumentRow) -> StoredDocument:
    """Return the document in a database row."""
    return StoredDocument(
        name=row.name,
        digest=row.digest,
        parser=row.parser,
        metadata=row.fields,
        subject=row.subject,
        entry=entry_file_of(row),
    )


def entry_file_of(row: EntryColumns) -> EntryFile:
    """Return the entry in a database row."""
    facts = Facts(row.num_chunks, row.dimensions, row.format, row.num_bytes, row.kept)
    return EntryFile(blob=row.entry, size=row.entry_bytes, facts=facts)


def entry_columns(entry: EntryFile) -> dict[str, Any]:
    """Return the columns of an entry."""
    return {
        "entry": entry.blob,
        "entry_bytes": entry.size,
        "format": entry.facts.format,
        "num_bytes": entry.facts.num_bytes,
        "num_chunks": entry.facts.num_chunks,
        "dimensions": entry.facts.dimensions,
        "kept": entry.facts.kept,
    }


def document_row(position: int, document: StoredDocument, recipe: ChunkRecipe, embedding: str) -> DocumentRow:
    """Return the database row of a document. `recipe`, `embedding`: those of its version."""
    return DocumentRow(
        position=position,
        name=document.name,
        digest=document.digest,
        parser=document.parser,
        fields=dict(document.metadata),
        subject=document.subject,
        entry_key=EntryKey.of(document.in_manifest, recipe, embedding).hex,
        **entry_columns(document.entry),
    )


def index_file_row(position: int, file: IndexFile) -> IndexFileRow:
    """Return the database row of a file of an index."""
    return IndexFileRow(position=position, name=file.name, blob=file.blob, size=file.size)
