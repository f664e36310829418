"""The tables of purchases. Triggers of the database refuse to change prices and calls; see the migration."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time

_BIG = BigInteger().with_variant(Integer, "sqlite")


class ProviderPriceRow(Base):
    """A version of what a provider asks for its models."""

    __tablename__ = "provider_prices"

    provider: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    valid_from: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970."""
    currency: Mapped[str] = mapped_column(String(3))
    document: Mapped[str] = mapped_column(Text)
    """The prices as JSON, by the provider's names of its models."""
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(String(128))


class ProviderCallRow(Base):
    """An attempt of a call that a provider accepted, whether the caller is charged for it or not."""

    __tablename__ = "provider_calls"
    __table_args__ = (UniqueConstraint("call_id", "line"), Index(None, "at"), Index(None, "user_number"))

    number: Mapped[int] = mapped_column(_BIG, primary_key=True)
    call_id: Mapped[str] = mapped_column(String(64))
    line: Mapped[int] = mapped_column(Integer)
    at: Mapped[int] = mapped_column(BigInteger)
    """When the call was accepted, in seconds since 1970."""
    project: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(128))
    user_number: Mapped[int | None] = mapped_column(_BIG)
    """The number of the user in LedgerUserRow."""
    route: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    """remote:PROVIDER/MODEL."""
    provider: Mapped[str] = mapped_column(String(64))
    app: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(String(16))
    is_charged: Mapped[bool] = mapped_column(Boolean)
    """The ledger has an entry for it."""
    is_estimated: Mapped[bool] = mapped_column(Boolean)
    """The provider hasn't said how many tokens it used."""
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_nanos: Mapped[int | None] = mapped_column(BigInteger)
    """Billionths of the currency; null where neither a price applied nor the provider named a cost."""
    currency: Mapped[str] = mapped_column(String(3))
    price_version: Mapped[int | None] = mapped_column(Integer)
    """Null where the cost is the one that the provider named."""
    reported_cost_nanos: Mapped[int | None] = mapped_column(BigInteger)
    """The cost that the provider reported, in billionths of the currency; null if it reported none."""
    differences: Mapped[str] = mapped_column(String(64))
    """The kinds of DIFFERENCES that were found, separated by commas; empty for none."""


class ProviderCostRow(Base):
    """The sum of the calls at providers of one hour, or of one day, with the same value of a dimension."""

    __tablename__ = "provider_cost_sums"

    dimension: Mapped[str] = mapped_column(String(16), primary_key=True)
    period: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Its length in seconds."""
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Seconds since 1970."""
    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True)
    currency: Mapped[str] = mapped_column(String(3), primary_key=True)
    """Empty where no cost is known."""
    num_calls: Mapped[int] = mapped_column(BigInteger)
    num_estimated: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_nanos: Mapped[int] = mapped_column(BigInteger)
    reported_calls: Mapped[int] = mapped_column(BigInteger)
    """Calls whose cost the provider named."""
    reported_cost_nanos: Mapped[int] = mapped_column(BigInteger)
    unreported_differences: Mapped[int] = mapped_column(BigInteger)
    """Calls with each kind of DIFFERENCES."""
    input_differences: Mapped[int] = mapped_column(BigInteger)
    output_differences: Mapped[int] = mapped_column(BigInteger)
    cost_differences: Mapped[int] = mapped_column(BigInteger)
