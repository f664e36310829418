"""The lines of prepaid credit. Triggers refuse every change."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class CreditLineRow(Base):
    """A top-up, or its reversal.

    The balance with the line is stored, so that what calls have cost since then is all that must be counted.
    """

    __tablename__ = "credit_lines"
    __table_args__ = (UniqueConstraint("project", "key"), UniqueConstraint("id"))

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(128))
    """Names the top-up: the same one, sent twice, counts once."""
    currency: Mapped[str] = mapped_column(String(3))
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    """Billionths of the currency; negative for a reversal."""
    balance_nanos: Mapped[int] = mapped_column(BigInteger)
    """The balance after this line, in billionths."""
    spent_nanos: Mapped[int] = mapped_column(BigInteger)
    """The total cost of calls before this line, in billionths."""
    note: Mapped[str] = mapped_column(Text)
    reversal_of: Mapped[str] = mapped_column(String(64))
    """The id of the line that this one reverses."""
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(String(128))
