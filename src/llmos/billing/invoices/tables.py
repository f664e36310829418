"""The tables of invoices. Triggers of the database refuse to change or delete an invoice; see the migration."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class InvoiceRow(Base):
    """An invoice, or a credit note."""

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("year", "sequence"),
        UniqueConstraint("kind", "project", "currency", "month", "revision"),
        Index("uq_invoices_corrects", "corrects", unique=True, sqlite_where=text("corrects <> ''"),
              postgresql_where=text("corrects <> ''")),
    )  # fmt: skip

    number: Mapped[str] = mapped_column(String(16), primary_key=True)
    year: Mapped[int] = mapped_column(Integer)
    sequence: Mapped[int] = mapped_column(Integer)
    """From 1 in each year, without gaps."""
    kind: Mapped[str] = mapped_column(String(16))
    project: Mapped[str] = mapped_column(String(64))
    currency: Mapped[str] = mapped_column(String(3))
    month: Mapped[str] = mapped_column(String(7))
    revision: Mapped[int] = mapped_column(Integer)
    """The number of earlier invoices of this month that were cancelled."""
    corrects: Mapped[str] = mapped_column(String(16))
    """For a credit note: the number of the invoice that it cancels. Empty for an invoice."""
    period_end: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970: the invoice has no later entries."""
    last_entry: Mapped[int] = mapped_column(BigInteger)
    """The invoice has no entries of the ledger with higher numbers."""
    issued_at: Mapped[datetime] = mapped_column(Time)
    document: Mapped[str] = mapped_column(Text)
    """InvoiceDescription as JSON."""


class InvoiceSettingsRow(Base):
    """The texts on the invoices of a project besides their lines; of the project "", those of the installation."""

    __tablename__ = "invoice_settings"

    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    """InvoiceSettings as JSON."""
    updated_at: Mapped[datetime] = mapped_column(Time)
    updated_by: Mapped[str] = mapped_column(String(128))
