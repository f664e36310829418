"""The tables of what is kept for callers."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class ResponseRow(Base):
    """Whole in itself: it names no other row, so any of them can go."""

    __tablename__ = "responses"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    body: Mapped[str] = mapped_column(Text)
    items: Mapped[str] = mapped_column(Text)


class FileRow(Base):
    """A file whose bytes are complete. Those lie in LLMOS_HOME/files, under the id."""

    __tablename__ = "files"
    __table_args__ = (UniqueConstraint("id"), Index(None, "tenant"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """In the order in which they came."""
    id: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(32))
    filename: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Time)


class BatchRow(Base):
    """Names files without a foreign key: a batch that has ended stays when they are deleted."""

    __tablename__ = "batches"
    __table_args__ = (UniqueConstraint("id"), Index(None, "tenant"), Index(None, "status"))

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64))
    endpoint: Mapped[str] = mapped_column(String(64))
    input_file_id: Mapped[str] = mapped_column(String(64))
    output_file_id: Mapped[str | None] = mapped_column(String(64))
    """Set when the batch has ended, unless there is no such line."""
    error_file_id: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    entered: Mapped[dict[str, int]] = mapped_column(JSON)
    """Status: when it was entered, in seconds since 1970."""
    labels: Mapped[dict[str, str] | None] = mapped_column(JSON)
    """What callers call metadata."""
    num_total: Mapped[int]
    num_completed: Mapped[int]
    num_failed: Mapped[int]
    usage: Mapped[dict[str, int]] = mapped_column(JSON)
    problems: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Why it failed as a whole."""
