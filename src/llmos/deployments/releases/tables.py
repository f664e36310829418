"""The tables of releases of applications."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class AppReleaseRow(Base):
    """A release of an application. Stays when another one has taken its place."""

    __tablename__ = "app_releases"
    __table_args__ = (UniqueConstraint("project", "app", "number"), Index(None, "state"))

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    environment: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    before: Mapped[int | None]
    """The version that was deployed before."""
    restores: Mapped[int | None]
    """The number of the release that a rollback went back to."""
    steps: Mapped[list[float]] = mapped_column(JSON)
    gate: Mapped[str] = mapped_column(Text)
    min_calls: Mapped[int]
    max_hold_seconds: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(16))
    step: Mapped[int]
    step_began_at: Mapped[datetime] = mapped_column(Time)
    baseline: Mapped[dict[str, float]] = mapped_column(JSON)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The versions that its names stood for, to see later changes."""
    reason: Mapped[str] = mapped_column(Text)
    begun_by: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(Time)
    active_at: Mapped[datetime | None] = mapped_column(Time)
    """The time from which it answered all callers; NULL: it never did."""
    ended_at: Mapped[datetime | None] = mapped_column(Time)


class AppReleaseEventRow(Base):
    """An event in the history of a release."""

    __tablename__ = "app_release_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    release: Mapped[int] = mapped_column(ForeignKey("app_releases.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(Time)
    kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str | None] = mapped_column(String(256))
    reason: Mapped[str] = mapped_column(Text)
