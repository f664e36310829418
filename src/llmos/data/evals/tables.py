"""The tables of runs of evals. What persons or models wrote is in the sealed columns only."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class EvalRunRow(Base):
    """A run of a suite."""

    __tablename__ = "eval_runs"
    __table_args__ = (
        UniqueConstraint("id"),
        Index(None, "project", "number"),
        Index(None, "project", "digest"),
        Index(None, "expires_at"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    suite: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(String(80))
    """The digest of the suite, the models and the number of repeats: two runs with the same one do the same."""
    state: Mapped[str] = mapped_column(String(16))
    """unfinished or finished"""
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The description, without texts of persons or models."""
    document: Mapped[bytes] = mapped_column(LargeBinary)
    """The suite, sealed."""
    actor: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)
    expires_at: Mapped[datetime | None] = mapped_column(Time)
    """The moment at which it is deleted; NULL: as the project's retention says."""


class EvalAttemptRow(Base):
    """One answer to a case, with what its checks found."""

    __tablename__ = "eval_attempts"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(256), primary_key=True)
    case: Mapped[str] = mapped_column(String(128), primary_key=True)
    repeat: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
