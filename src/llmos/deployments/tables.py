"""The deployments' tables."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class RouteRow(Base):
    __tablename__ = "routes"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(256))
    """A reference to a model. Kept as it was written: `smollm2` follows the newest version, `smollm2@1` does not."""
    updated_at: Mapped[datetime] = mapped_column(Time)
