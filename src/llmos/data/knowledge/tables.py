"""The tables of knowledge: names, versions, their documents, the files of their indexes, aliases and labels."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core.database import Base, Time
from llmos.core.versioning.columns import (
    AliasMoveColumns,
    LabelChangeColumns,
    ProjectNameColumns,
    ProjectVersionColumns,
)
from llmos.core.versioning.noun import ProjectNoun


class KnowledgeRow(ProjectNameColumns, Base):
    """The knowledge of a project under one name."""

    __tablename__ = "knowledge"
    __table_args__ = (Index(None, "project"),)


class IndexFileRow(Base):
    """A file of the index of a version."""

    __tablename__ = "knowledge_index_files"
    __table_args__ = (Index(None, "blob"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("knowledge_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    blob: Mapped[str] = mapped_column(String(71))
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes of the blob."""


class KnowledgeVersionRow(ProjectVersionColumns, Base):
    """A version of knowledge. Several versions of a name may have the same digest."""

    __tablename__ = "knowledge_versions"
    __table_args__ = (UniqueConstraint("knowledge", "number"),)

    owner: Mapped[str] = mapped_column("knowledge", ForeignKey("knowledge.key"))
    recipe: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The rules by which documents are cut into chunks."""
    embedding: Mapped[str] = mapped_column(String(128))
    """The reference of the model that makes the vectors."""
    embedding_digest: Mapped[str] = mapped_column(String(71))
    dimensions: Mapped[int]
    num_documents: Mapped[int]
    num_chunks: Mapped[int]
    entry_bytes: Mapped[int] = mapped_column(BigInteger)
    """Bytes of all entries."""
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Counts from the making of the version; not part of the digest."""
    index_files: Mapped[list[IndexFileRow]] = relationship(
        order_by="IndexFileRow.position", lazy="selectin", cascade="all, delete-orphan"
    )


class EntryColumns:
    """An entry in the store, and what it has."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...

    entry: Mapped[str] = mapped_column(String(71))
    """The blob of the entry."""
    entry_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(16))
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    """Bytes of the file."""
    num_chunks: Mapped[int]
    dimensions: Mapped[int]
    """The length of the vectors."""
    kept: Mapped[float] = mapped_column(Double)
    """The share of the file's letters and digits that is in its text."""


class DocumentRow(EntryColumns, Base):
    """A document of a version. Several versions may name the same entry."""

    __tablename__ = "knowledge_documents"
    __table_args__ = (
        UniqueConstraint("version_id", "name"),
        Index(None, "digest"),
        Index(None, "entry"),
        Index(None, "entry_key"),
        Index(None, "subject"),
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("knowledge_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """Ascending by name."""
    name: Mapped[str] = mapped_column(String(512))
    digest: Mapped[str] = mapped_column(String(71))
    """sha256:<hex> of the file."""
    parser: Mapped[int]
    """The version of the parsers that read it."""
    fields: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    subject: Mapped[str | None] = mapped_column(String(64))
    """The person that it is about, as a keyed hash."""
    entry_key: Mapped[str] = mapped_column(String(64))
    """EntryKey.hex."""


class PendingEntryRow(EntryColumns, Base):
    """An entry that was made for a version that isn't listed yet."""

    __tablename__ = "knowledge_pending_entries"

    owner: Mapped[str] = mapped_column("knowledge", String(129), primary_key=True)
    """PROJECT/NAME, which may have no version."""
    entry_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """EntryKey.hex."""
    created_at: Mapped[datetime] = mapped_column(Time)


class EvaluationRow(Base):
    """The last evaluation of a version, with the threshold that it found."""

    __tablename__ = "knowledge_evaluations"

    owner: Mapped[str] = mapped_column("knowledge", ForeignKey("knowledge.key"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    """KnowledgeEvalDescription."""
    made_at: Mapped[datetime] = mapped_column(Time)
    made_by: Mapped[str | None] = mapped_column(String(128))


class KnowledgeAliasMoveRow(AliasMoveColumns, Base):
    """One move of an alias of knowledge."""

    __tablename__ = "knowledge_alias_moves"
    __table_args__ = (Index(None, "knowledge", "alias"),)

    owner: Mapped[str] = mapped_column("knowledge", ForeignKey("knowledge.key"))


class KnowledgeLabelChangeRow(LabelChangeColumns, Base):
    """One change of a tag or a description of knowledge or its version."""

    __tablename__ = "knowledge_label_changes"
    __table_args__ = (Index(None, "knowledge", "number", "key"),)

    owner: Mapped[str] = mapped_column("knowledge", ForeignKey("knowledge.key"))


KNOWLEDGE = ProjectNoun(
    name="knowledge",
    command="llmos knowledge",
    names=KnowledgeRow,
    versions=KnowledgeVersionRow,
    alias_moves=KnowledgeAliasMoveRow,
    label_changes=KnowledgeLabelChangeRow,
    making="llmos knowledge add {name} FILE",
)
