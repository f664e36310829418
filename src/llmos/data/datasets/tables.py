"""The tables of datasets, their versions and segments, aliases and labels."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core.database import Base
from llmos.core.versioning.columns import (
    AliasMoveColumns,
    LabelChangeColumns,
    ProjectNameColumns,
    ProjectVersionColumns,
)
from llmos.core.versioning.noun import ProjectNoun


class DatasetRow(ProjectNameColumns, Base):
    """A dataset of a project."""

    __tablename__ = "datasets"
    __table_args__ = (Index(None, "project"),)


class DatasetSegmentRow(Base):
    """A file of rows, or of changes, of a version. Several versions may name the same blob."""

    __tablename__ = "dataset_segments"
    __table_args__ = (Index(None, "blob"), Index(None, "rows_digest"))

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """Ascending; rows come before changes."""
    role: Mapped[str] = mapped_column(String(16))
    """"rows", or "changes": what became of the rows of the parents."""
    blob: Mapped[str] = mapped_column(String(71))
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes of the blob."""
    rows_digest: Mapped[str] = mapped_column(String(71))
    """sha256:<hex> of the ids and columns of its rows: the same rows are stored once."""
    num_rows: Mapped[int]


class DatasetVersionRow(ProjectVersionColumns, Base):
    """A version of a dataset."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset", "number"), UniqueConstraint("dataset", "digest"))

    owner: Mapped[str] = mapped_column("dataset", ForeignKey("datasets.key"))
    kind: Mapped[str] = mapped_column(String(16))
    num_rows: Mapped[int] = mapped_column(BigInteger)
    content_bytes: Mapped[int] = mapped_column(BigInteger)
    """The bytes of all contents, uncompressed."""
    rows_digest: Mapped[str] = mapped_column(String(71))
    source: Mapped[str] = mapped_column(Text)
    license: Mapped[str | None] = mapped_column(String(128))
    parents: Mapped[list[str]] = mapped_column(JSON)
    recipe: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The counts made while it was written; not part of the digest."""
    segments: Mapped[list[DatasetSegmentRow]] = relationship(
        order_by="DatasetSegmentRow.position", lazy="selectin", cascade="all, delete-orphan"
    )


class DatasetAliasMoveRow(AliasMoveColumns, Base):
    """One move of a dataset's alias."""

    __tablename__ = "dataset_alias_moves"
    __table_args__ = (Index(None, "dataset", "alias"),)

    owner: Mapped[str] = mapped_column("dataset", ForeignKey("datasets.key"))


class DatasetLabelChangeRow(LabelChangeColumns, Base):
    """One change of a tag or a description of a dataset or its version."""

    __tablename__ = "dataset_label_changes"
    __table_args__ = (Index(None, "dataset", "number", "key"),)

    owner: Mapped[str] = mapped_column("dataset", ForeignKey("datasets.key"))


DATASETS = ProjectNoun(
    name="dataset",
    command="llmos dataset",
    names=DatasetRow,
    versions=DatasetVersionRow,
    making="llmos dataset import FILE --name {name}",
    alias_moves=DatasetAliasMoveRow,
    label_changes=DatasetLabelChangeRow,
)
