"""Reports of datasets: what is in a Version, how long its rows are, and where it came from."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.dataset_cleaning import LeftOutDescription
from llmos.core.schemas.datasets import RowDescription


class ValueCount(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that have one value in a column."""

    value: str | None
    num_rows: int


class ColumnCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The rows by their value in a column."""

    values: list[ValueCount] = []
    """The most frequent values."""
    num_others: int = 0
    """Rows with another value."""


class LengthsDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram of the lengths of rows, of those that were measured."""

    unit: str
    """characters or tokens."""
    model: str | None = None
    """The model whose tokens they are."""
    least: int
    median: int
    p95: int
    """95 % of the rows are no longer."""
    most: int
    edges: list[int] = []
    """Bin i has the lengths from edges[i] to below edges[i + 1]."""
    counts: list[int] = []
    """The rows of each bin."""


class ChangedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that one operator changed for one reason."""

    operator: str
    reason: str
    num_rows: int


class LineageStep(msgspec.Struct, frozen=True, kw_only=True):
    """A Version from which the reported one was made, or that itself."""

    digest: str
    version: str | None = None
    """NAME@NUMBER; null: it was removed, and nothing else is known."""
    num_rows: int = 0
    source: str = ""
    parents: list[str] = []
    """Digests."""
    operators: list[dict[str, Any]] = []
    """The recipe by which it was made from its parents."""
    num_left_out: dict[str, int] = {}
    """{operator: rows}."""
    imported: dict[str, Any] = {}
    """The report of its import, such as the shape of the records and the problems of lines that were skipped."""
    made_by: str | None = None
    created_at: datetime | None = None


class DatasetReportDescription(Description, frozen=True, kw_only=True):
    version: str = ""
    digest: str = ""
    kind: str = ""
    num_rows: int = 0
    content_bytes: int = 0
    size_bytes: int = 0
    license: str | None = None
    source: str = ""
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    made_by: str | None = None
    created_at: datetime | None = None
    counts: dict[str, ColumnCounts] = msgspec.field(default_factory=dict)
    """{file, language, license, consent or split: the rows by its values}."""
    num_with_subject: int = 0
    """Rows about a person who is known."""
    num_repeated: int | None = None
    """Rows with the same content as an earlier one; null: there are too many rows to count them."""
    num_erased: int = 0
    """Rows that were taken out since, because a person was to be forgotten."""
    num_measured: int = 0
    """The rows whose lengths were measured: all, or a random part of large Versions."""
    lengths: list[LengthsDescription] = msgspec.field(default_factory=list)
    left_out: list[LeftOutDescription] = msgspec.field(default_factory=list)
    """The parents' rows that the recipe left out."""
    changed: list[ChangedDescription] = msgspec.field(default_factory=list)
    lineage: list[LineageStep] = msgspec.field(default_factory=list)
    """The Version, its parents, their parents and so on."""
    samples: list[RowDescription] = msgspec.field(default_factory=list)
    """Rows by chance, the same ones in each report."""
    is_masked: bool = False
    """Placeholders stand for personal data in the texts of samples, examples and problems."""
