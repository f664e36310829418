"""The tables of sessions, runs and handoffs. What people wrote is in the sealed columns only."""

from datetime import datetime

from sqlalchemy import Double, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class SessionRow(Base):
    """A conversation of an application."""

    __tablename__ = "app_sessions"
    __table_args__ = (UniqueConstraint("id"), UniqueConstraint("project", "app", "name"), Index(None, "expires_at"))

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    """HMAC of its name, which may be a person's."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Its name and its summary."""
    num_turns: Mapped[int]
    num_tokens: Mapped[int]
    first_turn: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)


class TurnRow(Base):
    """A whole turn of a session."""

    __tablename__ = "app_turns"

    session_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str | None] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Time)


class RunRow(Base):
    """A run of an application."""

    __tablename__ = "app_runs"
    __table_args__ = (
        UniqueConstraint("id"),
        Index(None, "project", "app", "state"),
        Index(None, "session_id", "state"),
        Index(None, "expires_at"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(String(64))
    version: Mapped[int | None]
    session_id: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    waits_for: Mapped[str | None] = mapped_column(String(256))
    lease: Mapped[str] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime] = mapped_column(Time)
    num_steps: Mapped[int]
    input: Mapped[bytes] = mapped_column(LargeBinary)
    """Sealed, as `end` is."""
    end: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The output, the error, the usage, and what the run waits with."""
    created_at: Mapped[datetime] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)


class StepRow(Base):
    """A step of a run."""

    __tablename__ = "app_steps"
    __table_args__ = (UniqueConstraint("run_id", "key"),)

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(String(64))
    is_effect: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[str] = mapped_column(String(64))
    """Chosen by the process that began it, so that a request that is sent twice begins it once."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The arguments and the result."""
    seconds: Mapped[float] = mapped_column(Double)
    at: Mapped[datetime] = mapped_column(Time)


class SignalRow(Base):
    """A signal that a run waits for, once it is there."""

    __tablename__ = "app_signals"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    actor: Mapped[str | None] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(Time)


class HandoffRow(Base):
    """A question that an application handed over to a person."""

    __tablename__ = "app_handoffs"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("project", "key"),
        Index(None, "project", "state"),
        Index(None, "expires_at"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(160))
    """Chosen by the application: a request that is sent twice makes one handoff."""
    run_id: Mapped[str | None] = mapped_column(String(64))
    session_id: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    taken_by: Mapped[str | None] = mapped_column(String(128))
    ended_by: Mapped[str | None] = mapped_column(String(128))
    turn: Mapped[int | None]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The question and the messages before it."""
    end: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The answer, and the reason that it was closed for, sealed."""
    created_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)


class AppDeploymentRow(Base):
    """A version of an application that servers keep running."""

    __tablename__ = "app_deployments"
    __table_args__ = (UniqueConstraint("project", "app"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    is_stopped: Mapped[bool]
    candidate: Mapped[int | None]
    """Another version that servers run beside it, and that a release lets take over."""
    candidate_percent: Mapped[float | None] = mapped_column(Double)
    """The share of the callers that it answers."""
    changed_at: Mapped[datetime] = mapped_column(Time)
    changed_by: Mapped[str | None] = mapped_column(String(128))
