"""The table of feedback."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class FeedbackRow(Base):
    """The opinion of one person on one answer."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("project", "actor", "kind", "answer"),
        Index(None, "project", "answer"),
        Index(None, "expires_at"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16))
    answer: Mapped[str] = mapped_column(String(128))
    rating: Mapped[str] = mapped_column(String(8))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Everything that somebody wrote."""
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
