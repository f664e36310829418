"""The tables of vector stores, their files and their batches of files."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class VectorStoreRow(Base):
    """A vector store. Its documents are those of the project's knowledge that is named like its id."""

    __tablename__ = "vector_stores"
    __table_args__ = (UniqueConstraint("id"), Index(None, "project"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """Ascending in order of creation."""
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    fields: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    max_tokens: Mapped[int | None]
    """The most tokens of a chunk, as requested; None for the default of the embedding model."""
    overlap_tokens: Mapped[int | None]
    expires_after_days: Mapped[int | None]
    """The days after the last activity."""
    last_active_at: Mapped[datetime] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time)


class VectorStoreBatchRow(Base):
    """Files that were attached together."""

    __tablename__ = "vector_store_batches"
    __table_args__ = (UniqueConstraint("id"), Index(None, "store"))

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    store: Mapped[int] = mapped_column(ForeignKey("vector_stores.number"))
    created_at: Mapped[datetime] = mapped_column(Time)


class VectorStoreFileRow(Base):
    """A file in a vector store."""

    __tablename__ = "vector_store_files"
    __table_args__ = (UniqueConstraint("store", "file"), Index(None, "file"), Index(None, "batch"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """Ascending in the order in which files were attached."""
    store: Mapped[int] = mapped_column(ForeignKey("vector_stores.number"))
    file: Mapped[str] = mapped_column(String(64))
    """The id of the file. What isn't in /v1/files any more is not searched."""
    filename: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(String(512))
    """The name of its document."""
    batch: Mapped[int | None] = mapped_column(ForeignKey("vector_store_batches.number"))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    """in_progress, completed, failed or cancelled."""
    is_searchable: Mapped[bool]
    """A version has it. It stays so while new attributes wait for the next one."""
    error_code: Mapped[str | None] = mapped_column(String(32))
    error_message: Mapped[str | None] = mapped_column(Text)
    usage_bytes: Mapped[int] = mapped_column(BigInteger)
    job: Mapped[str | None] = mapped_column(String(64))
    """The job that it waits for."""
    created_at: Mapped[datetime] = mapped_column(Time)
