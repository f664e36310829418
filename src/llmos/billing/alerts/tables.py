"""The table of alerts."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time

_BIG = BigInteger().with_variant(Integer, "sqlite")
_WAITING = text("told_at IS NULL")


class AlertRow(Base):
    """A share of a limit that was used up in a period."""

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("limit_id", "subject", "period_start", "percent"),
        UniqueConstraint("id"),
        Index("ix_alerts_waiting", "number", sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    limit_id: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(96))
    """See limits.subject_of()."""
    period_start: Mapped[int] = mapped_column(BigInteger)
    percent: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    """budget, plan, allowance (the usage that a plan includes) or credit."""
    name: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    """The project of the call that caused the alert."""
    user_number: Mapped[int | None] = mapped_column(_BIG)
    """The number of the user in LedgerUserRow, if the limit is for a user."""
    is_for_all: Mapped[bool] = mapped_column(Boolean)
    """The limit is for the whole installation: only the project `owner` is notified."""
    unit: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger)
    per: Mapped[str] = mapped_column(String(8))
    is_hard: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(Time)
    told_at: Mapped[datetime | None] = mapped_column(Time)
    """When its messages to webhooks were added."""
