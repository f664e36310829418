"""The tables of the audit log. Triggers of the database refuse to change or delete their rows; see the migration."""

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base


class AuditRow(Base):
    """An entry. `body` is what counts; the other columns repeat parts of it, to select by."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "time"), Index(None, "project"))

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """From 1, without gaps."""
    time: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    project: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    """The entry as canonical JSON. It names the hash of the entry before."""
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the body."""


class CheckpointRow(Base):
    """A signed statement of what the log was up to an entry."""

    __tablename__ = "audit_checkpoints"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """The number of the entry."""
    document: Mapped[str] = mapped_column(Text)
    """JSON."""
