"""The tables of what is kept."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class ResponseRow(Base):
    """Whole in itself: it names no other row, so any of them can go."""

    __tablename__ = "responses"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    body: Mapped[str] = mapped_column(Text)
    items: Mapped[str] = mapped_column(Text)
