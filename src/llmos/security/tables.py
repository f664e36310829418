"""The tables of projects, API keys and the use of their limits."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class ProjectRow(Base):
    """A project. The row stays when the project is removed, so that nobody gets its name, and what is under it."""

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    description: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(String(128))
    limits: Mapped[dict[str, int]] = mapped_column(JSON, server_default="{}")
    removed_at: Mapped[datetime | None] = mapped_column(Time)
    removed_by: Mapped[str | None] = mapped_column(String(128))


class KeyRow(Base):
    """An API key. The row stays when the key is revoked: histories name its id."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("id"), UniqueConstraint("hmac"), Index(None, "old_hmac"), Index(None, "project"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """In the order in which they were created."""
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(32))
    hmac: Mapped[str] = mapped_column(String(64))
    """HMAC-SHA-256 of the key under the pepper, in hexadecimal digits."""
    old_hmac: Mapped[str | None] = mapped_column(String(64))
    """The same for the key before the last rotation."""
    old_expires_at: Mapped[datetime | None] = mapped_column(Time)
    pepper_id: Mapped[str] = mapped_column(String(16))
    """The pepper that it was hashed with."""
    ends_with: Mapped[str] = mapped_column(String(8))
    routes: Mapped[list[str]] = mapped_column(JSON)
    """The names that it may ask for; empty: all."""
    addresses: Mapped[list[str]] = mapped_column(JSON)
    """The networks that it may be used from; empty: all."""
    limits: Mapped[dict[str, int]] = mapped_column(JSON, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(String(128))
    expires_at: Mapped[datetime | None] = mapped_column(Time)
    rotated_at: Mapped[datetime | None] = mapped_column(Time)
    revoked_at: Mapped[datetime | None] = mapped_column(Time)
    revoked_by: Mapped[str | None] = mapped_column(String(128))
    last_used_at: Mapped[datetime | None] = mapped_column(Time)
    permissions: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """The permissions of its role that the key has; null: all."""
    app: Mapped[str | None] = mapped_column(String(64))
    """The application whose process has it."""


class BucketRow(Base):
    """The part of a limit per minute that a key or a project has left. See limit_counts.py."""

    __tablename__ = "limit_buckets"

    scope: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """requests or tokens."""
    full_at: Mapped[int] = mapped_column(BigInteger)
    """Nanoseconds since 1970."""


class RunningRow(Base):
    """The calls of a key or a project that one server runs."""

    __tablename__ = "limit_running"

    scope: Mapped[str] = mapped_column(String(128), primary_key=True)
    server_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    num_running: Mapped[int]
    expires_at: Mapped[int] = mapped_column(BigInteger)
    """Nanoseconds since 1970. The row counts until then."""
