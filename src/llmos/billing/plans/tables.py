"""The tables of plans. Triggers refuse every change."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time

_BIG = BigInteger().with_variant(Integer, "sqlite")


class PlanRow(Base):
    """A version of a plan."""

    __tablename__ = "plans"
    __table_args__ = (UniqueConstraint("name", "version"),)

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    valid_from: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970."""
    document: Mapped[str] = mapped_column(Text)
    """The plan as JSON, as it was set."""
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(String(128))


class PlanAssignmentRow(Base):
    """The plan of a project from a time on. The one that began last applies; of several, the newest."""

    __tablename__ = "plan_assignments"
    __table_args__ = (Index(None, "project"),)

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    plan: Mapped[str | None] = mapped_column(String(64))
    """Null: no plan any more."""
    valid_from: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(String(128))

    @property
    def version(self) -> int:
        """Orders those that begin at the same time."""
        return self.number
