"""The tables of webhooks: where messages go, the outbox, and the log of attempts."""

from datetime import datetime

from sqlalchemy import JSON, Double, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class WebhookRow(Base):
    __tablename__ = "webhooks"
    __table_args__ = (UniqueConstraint("id"), UniqueConstraint("project", "name"))

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(JSON)
    allow_private: Mapped[bool]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The secrets, each with the end of its time. Bound to project, name and URL."""
    old_secret_expires_at: Mapped[datetime | None] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time)


class MessageRow(Base):
    """A message to one webhook."""

    __tablename__ = "webhook_messages"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("webhook_id", "key"),
        Index(None, "state", "next_attempt_at"),
        Index(None, "expires_at"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    webhook_id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    event: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(160))
    """Identifies the event, so that the same event makes only one message."""
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The body. NULL as soon as it is delivered or given up."""
    state: Mapped[str] = mapped_column(String(16))
    num_attempts: Mapped[int]
    next_attempt_at: Mapped[datetime] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)


class AttemptRow(Base):
    __tablename__ = "webhook_attempts"

    message_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Time)
    status: Mapped[int | None]
    error: Mapped[str] = mapped_column(Text)
    seconds: Mapped[float] = mapped_column(Double)
