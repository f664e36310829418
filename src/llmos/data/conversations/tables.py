"""The tables of conversations. What people wrote is in the sealed columns only."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class ConversationRow(Base):
    """A conversation of one person."""

    __tablename__ = "conversations"
    __table_args__ = (UniqueConstraint("id"), Index(None, "project", "actor", "updated_at"), Index(None, "expires_at"))

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    """The key, or `user:NAME`, that it belongs to. Nobody else sees it."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Its title and its settings."""
    num_messages: Mapped[int]
    leaf: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)


class ConversationMessageRow(Base):
    """A message of a conversation."""

    __tablename__ = "conversation_messages"

    conversation_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[int | None]
    role: Mapped[str] = mapped_column(String(16))
    """user, assistant or tool."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The message, the id of its answer and its facts."""
    created_at: Mapped[datetime] = mapped_column(Time)
