"""The table of sign-ins through an OpenID provider that were finished."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class UsedStateRow(Base):
    """A state that works no second time."""

    __tablename__ = "oidc_used_states"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the state, in hexadecimal digits."""
    expires_at: Mapped[datetime] = mapped_column(Time)
    """Afterwards the state is too old anyway."""
