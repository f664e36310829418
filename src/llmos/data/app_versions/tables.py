"""The tables of applications, their versions and files, aliases and labels. Files are in the store, encrypted."""

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core.database import Base
from llmos.core.versioning.columns import (
    AliasMoveColumns,
    LabelChangeColumns,
    ProjectNameColumns,
    ProjectVersionColumns,
)
from llmos.core.versioning.noun import ProjectNoun


class AppRow(ProjectNameColumns, Base):
    """An application of a project."""

    __tablename__ = "apps"
    __table_args__ = (Index(None, "project"),)


class AppFileRow(Base):
    """A file of a version. Several versions may name the same blob."""

    __tablename__ = "app_files"
    __table_args__ = (UniqueConstraint("version_id", "name"), Index(None, "blob"))

    version_id: Mapped[int] = mapped_column(ForeignKey("app_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """Ascending by name."""
    name: Mapped[str] = mapped_column(String(512))
    """The path in the folder."""
    digest: Mapped[str] = mapped_column(String(71))
    """sha256:<hex> of the file."""
    blob: Mapped[str] = mapped_column(String(71))
    size: Mapped[int] = mapped_column(BigInteger)


class AppVersionRow(ProjectVersionColumns, Base):
    """A version of an application."""

    __tablename__ = "app_versions"
    __table_args__ = (
        UniqueConstraint("app", "number"),
        UniqueConstraint("app", "digest"),
        Index(None, "manifest_blob"),
    )

    owner: Mapped[str] = mapped_column("app", ForeignKey("apps.key"))
    model: Mapped[str] = mapped_column(String(256))
    """The route or the model that it asks."""
    permissions: Mapped[list[str]] = mapped_column(JSON)
    """The permissions of the application's key that the manifest lists."""
    prompts: Mapped[list[str]] = mapped_column(JSON)
    """The versions of prompts that were made from its files."""
    manifest_blob: Mapped[str] = mapped_column(String(71))
    """The parsed manifest, as JSON."""
    manifest_size: Mapped[int]
    files: Mapped[list[AppFileRow]] = relationship(
        order_by="AppFileRow.position", lazy="selectin", cascade="all, delete-orphan"
    )


class AppAliasMoveRow(AliasMoveColumns, Base):
    """One move of an application's alias."""

    __tablename__ = "app_alias_moves"
    __table_args__ = (Index(None, "app", "alias"),)

    owner: Mapped[str] = mapped_column("app", ForeignKey("apps.key"))


class AppLabelChangeRow(LabelChangeColumns, Base):
    """One change of a tag or a description of an application or its version."""

    __tablename__ = "app_label_changes"
    __table_args__ = (Index(None, "app", "number", "key"),)

    owner: Mapped[str] = mapped_column("app", ForeignKey("apps.key"))


APPS = ProjectNoun(
    name="app",
    command="llmos app",
    names=AppRow,
    versions=AppVersionRow,
    making="llmos app create DIR",
    alias_moves=AppAliasMoveRow,
    label_changes=AppLabelChangeRow,
)
