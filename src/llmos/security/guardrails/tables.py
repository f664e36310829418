"""The tables of guardrail policies."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class GuardrailPolicyRow(Base):
    """A version of a policy. Rows stay when the policy is removed: records name its versions."""

    __tablename__ = "guardrail_policies"
    __table_args__ = (UniqueConstraint("name", "version"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(80))
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(String(128))
    removed_at: Mapped[datetime | None] = mapped_column(Time)
    removed_by: Mapped[str | None] = mapped_column(String(128))


class AppliedPolicyRow(Base):
    """A policy that screens the calls of a route or a project, or all calls."""

    __tablename__ = "applied_guardrail_policies"
    __table_args__ = (UniqueConstraint("scope", "target", "policy"), Index(None, "policy"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """In the order in which they were applied, which is that in which they screen."""
    scope: Mapped[str] = mapped_column(String(16))
    target: Mapped[str] = mapped_column(String(256))
    """Empty for the installation."""
    policy: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(String(128))
