"""Reports of datasets: the content of a Version, the lengths of its rows, and its lineage."""

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
    """The number of rows with any other value."""


class LengthsDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram of the lengths of the measured rows."""

    unit: str
    """characters or tokens."""
    model: str | None = None
    """The model whose tokenizer counted the tokens; null for characters."""
    least: int
    median: int
    p95: int
    """The 95th percentile."""
    most: int
    edges: list[int] = []
    """Bin i has the lengths from edges[i] to below edges[i + 1]."""
    counts: list[int] = []
    """The number of rows in each bin."""


class ChangedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that one operator changed for one reason."""

    operator: str
    reason: str
    num_rows: int


class LineageStep(msgspec.Struct, frozen=True, kw_only=True):
    """The reported Version, or a Version that it was made from."""

    digest: str
    version: str | None = None
    """NAME@NUMBER; null if the Version was removed, so that nothing but its digest is known."""
    num_rows: int = 0
    source: str = ""
    parents: list[str] = []
    """Digests."""
    operators: list[dict[str, Any]] = []
    """The recipe by which it was made from its parents."""
    num_left_out: dict[str, int] = {}
    """The number of rows that each operator left out: {operator: rows}."""
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
    """The number of rows by value, for each of the columns file, language, license, consent and split."""
    num_with_subject: int = 0
    """The number of rows with a known subject (the person that a row is about)."""
    num_repeated: int | None = None
    """The number of rows with the same content as an earlier row; null if there are too many rows to count."""
    num_erased: int = 0
    """The number of rows that were removed since, when a person's data were erased."""
    num_measured: int = 0
    """The number of rows whose lengths were measured: all, or a random sample of a large Version."""
    lengths: list[LengthsDescription] = msgspec.field(default_factory=list)
    left_out: list[LeftOutDescription] = msgspec.field(default_factory=list)
    """The rows of the parents that the recipe left out."""
    changed: list[ChangedDescription] = msgspec.field(default_factory=list)
    lineage: list[LineageStep] = msgspec.field(default_factory=list)
    """The Version, its parents, their parents and so on."""
    samples: list[RowDescription] = msgspec.field(default_factory=list)
    """A random sample of rows, which is the same in each report."""
    is_masked: bool = False
    """Personal data in the texts of samples, examples and problems are replaced by placeholders."""
