"""The table of jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class JobRow(Base):
    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("id"), Index(None, "state"), Index(None, "project"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """In the order in which they were created."""
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64), server_default="owner")
    kind: Mapped[str] = mapped_column(String(32))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    is_attached: Mapped[bool]
    progress: Mapped[list[list[Any]]] = mapped_column(JSON)
    """[label, num_done, num_total] of each part."""
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    actor: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(Time)
    started_at: Mapped[datetime | None] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)
