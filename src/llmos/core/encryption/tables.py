"""The tables of keys: those of objects lie in the database, and those that open them in the key ring."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from llmos.core.database import Base, Time


class ObjectKeyRow(Base):
    """The data key of one object, wrapped. An object without a row isn't encrypted."""

    __tablename__ = "object_keys"
    __table_args__ = (Index(None, "key_id"), Index(None, "project"))

    object_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(640))
    """The key of the ring that it is wrapped under; of several persons, their keys' ids with + between them."""
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Time)


class ObjectSubjectRow(Base):
    """A person whose data an object has."""

    __tablename__ = "object_subjects"
    __table_args__ = (Index(None, "project", "subject"),)

    object_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    """HMAC of what the request calls the person."""
    project: Mapped[str] = mapped_column(String(64))


class RingBase(DeclarativeBase):
    """The base of the key ring's table.

    It isn't among the tables of the database, because a copy of the database must not have the keys that open it.
    """


class RingKeyRow(RingBase):
    """A key of the ring, wrapped. When its row is gone, the key is destroyed."""

    __tablename__ = "encryption_keys"
    __table_args__ = (Index("ix_encryption_keys_project_kind", "project", "kind"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """index, project or subject."""
    project: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    """HMAC of the person; empty for a key of another kind."""
    replaced_at: Mapped[datetime | None] = mapped_column(Time)
    """When a rotation replaced a project's key; None for a key that new objects use."""
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_by: Mapped[str] = mapped_column(String(128))
    """The master key's id; for the key of a subject: the project's."""
    created_at: Mapped[datetime] = mapped_column(Time)
