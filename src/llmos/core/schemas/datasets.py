"""Datasets: their Versions, rows, imports and queries."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class DatasetDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    version: str = ""
    """NAME@NUMBER."""
    digest: str = ""
    kind: str = ""
    """chat, preference, case or text."""
    num_rows: int = 0
    content_bytes: int = 0
    """The bytes of all contents, uncompressed."""
    size_bytes: int = 0
    """Bytes on disk, some of which may be shared with other Versions."""
    license: str | None = None
    source: str = ""
    parents: list[str] = msgspec.field(default_factory=list)
    """The digests of the Versions that it was made from."""
    recipe: dict[str, Any] | None = None
    """The recipe by which it was made from its parents."""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    """The counts made while it was written, such as skipped lines, or dropped rows by operator and reason."""
    made_by: str | None = None
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    dataset_description: str | None = None
    dataset_tags: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None


class DatasetDetails(DatasetDescription, frozen=True, kw_only=True):
    versions: list[str] = msgspec.field(default_factory=list)
    aliases: list[str] = msgspec.field(default_factory=list)
    """The aliases that point at this Version."""
    made_from: list[str] = msgspec.field(default_factory=list)
    """The references of the parents, or their digests where they are unknown."""
    num_segments: int = 0


class RowDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    """The SHA-256 of the content's canonical JSON."""
    kind: str = ""
    content: dict[str, Any] = msgspec.field(default_factory=dict)
    origin: str | None = None
    """FILE:LINE."""
    language: str | None = None
    license: str | None = None
    consent: str | None = None
    """train, eval or none; null if unknown."""
    subject: str | None = None
    """The person that the row is about, as a keyed hash."""
    split: str | None = None


class QueryDescription(Description, frozen=True, kw_only=True):
    columns: list[str] = msgspec.field(default_factory=list)
    rows: list[list[Any]] = msgspec.field(default_factory=list)
    is_cut: bool = False
    """There are more rows, which are left out because of the requested limit."""


class ChangedRowDescription(Description, frozen=True, kw_only=True):
    """A row that only one of two Versions has."""

    id: str = ""
    content: dict[str, Any] = msgspec.field(default_factory=dict)
    origin: str | None = None
    operator: str | None = None
    """The operator that dropped or replaced it, where the newer Version records that."""
    reason: str | None = None
    detail: str | None = None
    successor: str | None = None
    """The id of the row that replaced it; null if it was dropped."""


class DifferenceDescription(Description, frozen=True, kw_only=True):
    older: str = ""
    newer: str = ""
    num_same: int = 0
    """The number of distinct rows that both Versions have."""
    num_removed: int = 0
    num_added: int = 0
    removed: list[ChangedRowDescription] = msgspec.field(default_factory=list)
    """The first rows that only the older Version has."""
    added: list[ChangedRowDescription] = msgspec.field(default_factory=list)
    """The first rows that only the newer Version has."""


class PreviewDescription(Description, frozen=True, kw_only=True):
    """The result of an import, before it is made."""

    shape: str = ""
    title: str = ""
    kind: str = ""
    rows: list[RowDescription] = msgspec.field(default_factory=list)
    """The first two rows."""
    left_out: list[str] = msgspec.field(default_factory=list)
    """The names of the columns that the import leaves out."""
    num_files: int = 0
    num_bytes: int = 0
    problems: list[str] = msgspec.field(default_factory=list)
    """The problems of bad lines among the first hundred."""


class UploadDescription(Description, frozen=True, kw_only=True):
    """A file that is being uploaded for an import."""

    digest: str = ""
    received_bytes: int = 0


class DatasetExportDescription(Description, frozen=True, kw_only=True):
    path: str = ""
    num_rows: int = 0
    size_bytes: int = 0
