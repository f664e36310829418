"""The tables of users, their sessions, and failed sign-ins."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base, Time


class UserRow(Base):
    """A user. The row stays when the user is removed: histories name the user."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("issuer", "subject"), Index(None, "project"))

    number: Mapped[int] = mapped_column(primary_key=True)
    """In the order in which they were created."""
    name: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(32))
    password_hash: Mapped[str | None] = mapped_column(Text)
    """Argon2id with its parameters and salt, in the PHC string format. None: the user can't sign in with a password."""
    issuer: Mapped[str | None] = mapped_column(String(512))
    """The OIDC provider that the user comes from."""
    subject: Mapped[str | None] = mapped_column(String(255))
    """The provider's id of the user."""
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(String(128))
    disabled_at: Mapped[datetime | None] = mapped_column(Time)
    disabled_by: Mapped[str | None] = mapped_column(String(128))
    removed_at: Mapped[datetime | None] = mapped_column(Time)
    removed_by: Mapped[str | None] = mapped_column(String(128))
    signed_in_at: Mapped[datetime | None] = mapped_column(Time)


class SessionRow(Base):
    """A session: a browser in which a user has signed in. The row is deleted when it ends."""

    __tablename__ = "user_sessions"
    __table_args__ = (Index(None, "user"), Index(None, "expires_at"))

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the token in the cookie, in hexadecimal digits. The token has 256 random bits."""
    user: Mapped[str] = mapped_column(String(64))
    method: Mapped[str] = mapped_column(String(16))
    """password, oidc or link; unopened for a link that nobody has opened yet."""
    created_at: Mapped[datetime] = mapped_column(Time)
    seen_at: Mapped[datetime] = mapped_column(Time)
    """Written at most once a minute."""
    expires_at: Mapped[datetime] = mapped_column(Time)
    """The time at which it ends, however busy it is."""


class SignInFailuresRow(Base):
    """The failed sign-ins of a name or an address. See throttle.py."""

    __tablename__ = "sign_in_failures"

    scope: Mapped[str] = mapped_column(String(64), primary_key=True)
    full_at: Mapped[int] = mapped_column(BigInteger)
    """Nanoseconds since 1970."""
