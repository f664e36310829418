"""The tables of billing. Triggers of the database refuse to change or delete entries; see the migration."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time

_BIG = BigInteger().with_variant(Integer, "sqlite")


class LedgerRow(Base):
    """The consumption of one call."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("call_id", "line"),
        Index(None, "at"),
        Index(None, "user_number"),
        Index(
            "ix_ledger_entries_reversals", "project", sqlite_where=text("line < 0"), postgresql_where=text("line < 0")
        ),
    )

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    call_id: Mapped[str] = mapped_column(String(64))
    line: Mapped[int] = mapped_column(Integer)
    request_id: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970."""
    project: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(128))
    user_number: Mapped[int | None] = mapped_column(_BIG)
    """The number of the user in LedgerUserRow."""
    route: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    app: Mapped[str] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str] = mapped_column(String(16))
    is_background: Mapped[bool] = mapped_column(Boolean)
    num_calls: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    embedding_tokens: Mapped[int] = mapped_column(BigInteger)
    rated_tokens: Mapped[int] = mapped_column(BigInteger)
    replica_micros: Mapped[int] = mapped_column(BigInteger)
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)
    """Billionths of the currency; null where no price applied."""
    currency: Mapped[str] = mapped_column(String(3))
    """Empty where no price applied."""
    price_version: Mapped[int | None] = mapped_column(Integer)
    reversal_of: Mapped[str] = mapped_column(String(96))


class LedgerUserRow(Base):
    """An end user of a project, apart from the entries: erasing a person takes the name away, and no entry changes."""

    __tablename__ = "ledger_users"
    __table_args__ = (UniqueConstraint("project", "name"),)

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(Text)
    """Null once the person is erased."""


class UsageRow(Base):
    """The sum of the entries of one hour, or of one day, with the same value of a dimension. See usage.py."""

    __tablename__ = "usage_sums"
    # Rows lie in the order of their key, in which reports read them, and each is found in one tree instead of two.
    __table_args__ = ({"sqlite_with_rowid": False},)

    dimension: Mapped[str] = mapped_column(String(16), primary_key=True)
    period: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Its length in seconds."""
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Seconds since 1970."""
    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True)
    currency: Mapped[str] = mapped_column(String(3), primary_key=True)
    """Empty for what has no price."""
    num_calls: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    embedding_tokens: Mapped[int] = mapped_column(BigInteger)
    rated_tokens: Mapped[int] = mapped_column(BigInteger)
    replica_micros: Mapped[int] = mapped_column(BigInteger)
    cost_nanos: Mapped[int] = mapped_column(BigInteger)


class PriceBookRow(Base):
    """A version of the prices. Triggers refuse every change."""

    __tablename__ = "price_books"

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    valid_from: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970."""
    currency: Mapped[str] = mapped_column(String(3))
    document: Mapped[str] = mapped_column(Text)
    """The prices as JSON."""
    free: Mapped[str] = mapped_column(Text)
    """The units per month that are free with every model, as JSON."""
    plan: Mapped[str] = mapped_column(String(64))
    """The plan whose prices these are; empty for the general prices."""
    plan_version: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(String(128))


class LimitRevisionRow(Base):
    """The number of changes of limits so far, in one row."""

    __tablename__ = "limit_revision"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger)


class BudgetRow(Base):
    """A budget. One that counts something else is another row."""

    __tablename__ = "budgets"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """The revision of the limits that it came with, so that none is given twice."""
    name: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(16))
    """See limits.Scope."""
    project: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(128))
    user_number: Mapped[int | None] = mapped_column(_BIG)
    """The number of the user in LedgerUserRow."""
    unit: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger)
    period: Mapped[str] = mapped_column(String(8))
    is_hard: Mapped[bool] = mapped_column(Boolean)
    alert_percents: Mapped[str] = mapped_column(Text)
    """A JSON array."""
    managed_by: Mapped[str] = mapped_column(String(64))
    """The project whose owners have set it, and may change it; empty: those of the installation."""
    created_at: Mapped[datetime] = mapped_column(Time)
    changed_at: Mapped[datetime] = mapped_column(Time)
    changed_by: Mapped[str] = mapped_column(String(128))


class LimitCountRow(Base):
    """The part of a limit that the ledger's entries of one period have used."""

    __tablename__ = "limit_counts"

    limit_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(96), primary_key=True)
    """See limits.subject_of()."""
    period_start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    spent: Mapped[int] = mapped_column(BigInteger)
    alerted_percent: Mapped[int] = mapped_column(Integer)
    """The largest share that listeners were told of."""


class ReservationRow(Base):
    """The part of a limit that a running call holds."""

    __tablename__ = "limit_reservations"
    __table_args__ = (Index(None, "limit_id", "subject", "period_start"),)

    call_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    limit_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(96))
    period_start: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)


class ReservedCallRow(Base):
    """A running call with reservations, and what it has computed so far, in case that its server dies."""

    __tablename__ = "reserved_calls"
    __table_args__ = (Index(None, "server_id"),)

    call_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    server_id: Mapped[str] = mapped_column(String(64))
    entry: Mapped[str] = mapped_column(Text)
    """The entry that it would have now, as JSON; empty before the first token."""


class ReservingServerRow(Base):
    """A server with running calls that have reservations."""

    __tablename__ = "reserving_servers"

    server_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970, by the clock of the database."""
