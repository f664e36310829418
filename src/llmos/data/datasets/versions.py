"""DatasetVersion and Segment: what the database knows of a version, independent of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from llmos.data.datasets.contents import Kind
from llmos.data.datasets.manifest import Manifest
from llmos.data.datasets.tables import DatasetSegmentRow, DatasetVersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A file with some of a version's rows, or with changes to its parents' rows."""

    role: Literal["rows", "changes"]
    num_rows: int
    rows_digest: str = ""
    """The digest of the records of its rows; empty for changes."""
    blob: str = ""
    """The digest of the file; empty until it is in the store."""
    size: int = 0
    """Bytes of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """Immutable rows of a dataset."""

    project: str
    dataset: str
    """The name."""
    number: int
    digest: str
    """sha256:<hex> of the manifest."""
    created_at: datetime
    kind: Kind
    num_rows: int
    content_bytes: int
    """The bytes of all contents, uncompressed."""
    rows_digest: str
    source: str
    """Its origin: import:NAME, a location such as hf:OWNER/NAME@COMMIT, or made:REF of the parent."""
    license: str | None
    parents: tuple[str, ...]
    """The digests of the versions that it was made from."""
    recipe: Mapping[str, Any] | None
    report: Mapping[str, Any]
    """The counts made while it was written."""
    made_by: str | None
    segments: tuple[Segment, ...]

    @property
    def ref(self) -> str:
        """NAME@NUMBER."""
        return f"{self.dataset}@{self.number}"

    @property
    def size(self) -> int:
        """The bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    @property
    def manifest(self) -> Manifest:
        return Manifest(
            kind=self.kind,
            num_rows=self.num_rows,
            rows=self.rows_digest,
            license=self.license,
            parents=list(self.parents),
            recipe=self.recipe,
        )


def version_of(row: DatasetVersionRow) -> DatasetVersion:
    """Return the version in a database row."""
    project, _, name = row.owner.partition("/")
    return DatasetVersion(
        project=project,
        dataset=name,
        number=row.number,
        digest=row.digest,
        created_at=row.created_at,
        kind=cast(Kind, row.kind),
        num_rows=row.num_rows,
        content_bytes=row.content_bytes,
        rows_digest=row.rows_digest,
        source=row.source,
        license=row.license,
        parents=tuple(row.parents),
        recipe=row.recipe,
        report=row.report or {},
        made_by=row.made_by,
        segments=tuple(map(_segment_of, row.segments)),
    )


def _segment_of(row: DatasetSegmentRow) -> Segment:
    return Segment(
        role=cast(Literal["rows", "changes"], row.role),
        blob=row.blob,
        size=row.size,
        rows_digest=row.rows_digest,
        num_rows=row.num_rows,
    )
