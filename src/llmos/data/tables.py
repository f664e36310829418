"""The tables of files, batches and responses."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class ResponseRow(Base):
    """A stored response. It refers to no other row, so any row can be deleted."""

    __tablename__ = "responses"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    body: Mapped[str] = mapped_column(Text)
    items: Mapped[str] = mapped_column(Text)
    """Both empty if the response is encrypted."""
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The body and the items, encrypted under the object's key. NULL for a response that an earlier version kept."""


class FileRow(Base):
    """A complete file. Its bytes are in LLMOS_HOME/files, in a file named by the id."""

    __tablename__ = "files"
    __table_args__ = (UniqueConstraint("id"), Index(None, "tenant"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """Ascending in order of creation."""
    id: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(32))
    filename: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Time)


class RetentionRow(Base):
    """The time for which a project's data are kept, if that was set. The project `owner` has no row of its own."""

    __tablename__ = "retentions"

    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    retention: Mapped[str] = mapped_column(String(16))
    changed_at: Mapped[datetime] = mapped_column(Time)
    changed_by: Mapped[str | None] = mapped_column(String(128))


class ErasureRow(Base):
    """An erasure of a person's data. The certificate isn't kept, because it names the person."""

    __tablename__ = "erasures"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    """HMAC of what the requests called the person."""
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(String(128))


class ErasedContentRow(Base):
    """A content that was erased and isn't taken again."""

    __tablename__ = "erased_contents"

    hmac: Mapped[str] = mapped_column(String(64), primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    erasure_id: Mapped[str] = mapped_column(String(64))


class BatchRow(Base):
    """A batch. It has no foreign keys to its files, because it stays when they are deleted."""

    __tablename__ = "batches"
    __table_args__ = (UniqueConstraint("id"), Index(None, "tenant"), Index(None, "status"))

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64))
    endpoint: Mapped[str] = mapped_column(String(64))
    input_file_id: Mapped[str] = mapped_column(String(64))
    output_file_id: Mapped[str | None] = mapped_column(String(64))
    """Set when the batch has ended, if any line was answered."""
    error_file_id: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    entered: Mapped[dict[str, int]] = mapped_column(JSON)
    """{status: time at which it was entered, in seconds since 1970}"""
    key_id: Mapped[str | None] = mapped_column(String(64))
    """The API key that created it; None for a batch of an earlier version."""
    labels: Mapped[dict[str, str] | None] = mapped_column(JSON)
    """The metadata that the caller set."""
    num_total: Mapped[int]
    num_completed: Mapped[int]
    num_failed: Mapped[int]
    usage: Mapped[dict[str, int]] = mapped_column(JSON)
    problems: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """The reasons why the whole batch failed."""
