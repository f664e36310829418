"""The tables of exporters: where entries go and how far they are, and the entries that receivers refused."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time

_BIG = BigInteger().with_variant(Integer, "sqlite")


class ExporterRow(Base):
    __tablename__ = "exporters"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    url: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(String(16))
    event_type: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(String(256))
    allow_private: Mapped[bool]
    sealed_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Bound to name, kind and URL."""
    is_paused: Mapped[bool]
    sent_through: Mapped[int] = mapped_column(_BIG)
    """The number of the last entry of the ledger that was taken or refused."""
    num_delivered: Mapped[int] = mapped_column(_BIG)
    num_failures: Mapped[int]
    """The number of attempts since the last success."""
    error: Mapped[str] = mapped_column(Text)
    next_attempt_at: Mapped[datetime] = mapped_column(Time)
    delivered_at: Mapped[datetime | None] = mapped_column(Time)
    lease: Mapped[str] = mapped_column(String(64))
    """Names the batch that a server sends; empty for none."""
    leased_until: Mapped[datetime | None] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time)


class RefusedRow(Base):
    """An entry of the ledger that a receiver refused."""

    __tablename__ = "exporter_refused"
    __table_args__ = (Index(None, "exporter_id", "is_waiting"),)

    exporter_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(_BIG, primary_key=True, autoincrement=False)
    """The number of the entry."""
    reason: Mapped[str] = mapped_column(Text)
    refused_at: Mapped[datetime] = mapped_column(Time)
    is_waiting: Mapped[bool]
    """It is sent again."""
