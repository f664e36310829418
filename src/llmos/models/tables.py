"""The tables of models, versions, aliases, labels, policies, signatures and cards."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core.database import Base, Time
from llmos.core.versioning.columns import AliasMoveColumns, LabelChangeColumns
from llmos.core.versioning.noun import Noun


class ModelRow(Base):
    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Time)


class VersionFileRow(Base):
    __tablename__ = "version_files"
    __table_args__ = (Index(None, "digest"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    digest: Mapped[str] = mapped_column(String(71))
    size: Mapped[int] = mapped_column(BigInteger)


class VersionRow(Base):
    """A version. The row stays when the version is removed: old answers name it, and its number is never used again."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model", "number"), UniqueConstraint("model", "digest"), Index(None, "digest"))

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(71))
    created_at: Mapped[datetime] = mapped_column(Time)
    removed_at: Mapped[datetime | None] = mapped_column(Time)
    source: Mapped[str] = mapped_column(Text)
    license: Mapped[str | None] = mapped_column(String(128))
    format: Mapped[str] = mapped_column(String(32))
    family: Mapped[str] = mapped_column(String(64))
    quantization: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[int] = mapped_column(BigInteger)
    context_length: Mapped[int | None]
    sampling: Mapped[dict[str, float]] = mapped_column(JSON)
    adapts: Mapped[int | None]
    """For an adapter, the number of the version that it adapts."""
    parent: Mapped[str | None] = mapped_column(String(71))
    """For a derived version, the parent's digest. The parent may have been removed."""
    recipe: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    made_by: Mapped[str | None] = mapped_column(String(128))
    files: Mapped[list[VersionFileRow]] = relationship(order_by="VersionFileRow.name", lazy="selectin")


class AliasMoveRow(AliasMoveColumns, Base):
    """One move of a model's alias."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index(None, "model", "alias"),)

    owner: Mapped[str] = mapped_column("model", ForeignKey("models.name"))


class LabelChangeRow(LabelChangeColumns, Base):
    """One change of a tag or a description of a model or its version."""

    __tablename__ = "label_changes"
    __table_args__ = (Index(None, "model", "number", "key"),)

    owner: Mapped[str] = mapped_column("model", ForeignKey("models.name"))


MODELS = Noun(name="model", command="llmos", names=ModelRow, alias_moves=AliasMoveRow, label_changes=LabelChangeRow)


class PolicyRow(Base):
    __tablename__ = "policies"

    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[bool | float] = mapped_column(JSON)
    updated_at: Mapped[datetime] = mapped_column(Time)
    updated_by: Mapped[str | None] = mapped_column(String(128))


class SignatureRow(Base):
    """A signature of a version. It belongs to the version's digest, so it holds under any name."""

    __tablename__ = "signatures"
    __table_args__ = (UniqueConstraint("version_digest", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version_digest: Mapped[str] = mapped_column(String(71))
    digest: Mapped[str] = mapped_column(String(71))
    """The digest of the signature itself, to store the same one only once."""
    signature: Mapped[str] = mapped_column(Text)
    added_at: Mapped[datetime] = mapped_column(Time)


class CardRow(Base):
    """The card of a version. Only models/cards/card.py knows its JSON."""

    __tablename__ = "cards"

    digest: Mapped[str] = mapped_column(String(71), primary_key=True)
    """The version's digest: the same version has the same card under any name."""
    measured_at: Mapped[datetime] = mapped_column(Time)
    card: Mapped[str] = mapped_column(Text)
