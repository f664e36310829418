"""The table of receipts."""

from sqlalchemy import BigInteger, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base


class ReceiptRow(Base):
    __tablename__ = "receipts"
    __table_args__ = (Index(None, "id"), Index(None, "request_id"), Index(None, "at"))

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    """The id of the answer."""
    request_id: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970."""
    document: Mapped[str] = mapped_column(Text)
    """The receipt, signed, as canonical JSON."""
