"""The deployments' tables."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class RouteRow(Base):
    __tablename__ = "routes"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(256))
    """A reference to a model. Kept as it was written: `smollm2` follows the newest version, `smollm2@1` does not."""
    updated_at: Mapped[datetime] = mapped_column(Time)


class DeploymentRow(Base):
    """What is wanted of one Version. Stays when it is removed: its history still names it."""

    __tablename__ = "deployments"

    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(String(256))
    """The reference that the owner wrote, which may be an alias of the version."""
    min_replicas: Mapped[int]
    max_replicas: Mapped[int]
    runner: Mapped[str] = mapped_column(String(32))
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    idle_seconds: Mapped[int | None]
    keep_warm: Mapped[bool]
    forced: Mapped[bool]
    asleep: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)
    removed_at: Mapped[datetime | None] = mapped_column(Time)


class DeploymentEventRow(Base):
    """One thing that happened to a deployment; all together are its history."""

    __tablename__ = "deployment_events"
    __table_args__ = (Index(None, "deployment"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    deployment: Mapped[str] = mapped_column(String(80))
    """The ref of its Version."""
    at: Mapped[datetime] = mapped_column(Time)
    kind: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
