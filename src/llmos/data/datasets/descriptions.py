"""Descriptions of datasets, as the API and the CLI return them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmos.core.schemas.datasets import (
    ChangedRowDescription,
    DatasetDescription,
    DatasetDetails,
    DatasetExportDescription,
    DifferenceDescription,
    PreviewDescription,
    QueryDescription,
    RowDescription,
)
from llmos.core.versioning.labels import Labels
from llmos.data.datasets.comparing import ChangedRow, Comparison
from llmos.data.datasets.datasets import Details
from llmos.data.datasets.exporting import Exported
from llmos.data.datasets.importing import Preview
from llmos.data.datasets.query_process import QueryResult
from llmos.data.datasets.rows import Row
from llmos.data.datasets.versions import DatasetVersion


def describe_version(version: DatasetVersion, labels: Mapping[tuple[str, int], Labels]) -> DatasetDescription:
    """Describe a version. `labels`: those of ProjectDatasets.labels_of()."""
    key = f"{version.project}/{version.dataset}"
    own, name = labels.get((key, version.number), Labels()), labels.get((key, 0), Labels())
    return DatasetDescription(**_fields(version, own, name))


def describe_details(details: Details) -> DatasetDetails:
    return DatasetDetails(
        **_fields(details.version, details.labels, details.dataset_labels),
        versions=list(details.versions),
        aliases=list(details.aliases),
        made_from=list(details.made_from),
        num_segments=len(details.version.segments),
    )


def describe_row(row: Row) -> RowDescription:
    return RowDescription(
        id=row.id,
        kind=row.kind,
        content=msgspec.json.decode(row.body),
        origin=row.origin,
        language=row.language,
        license=row.license,
        consent=row.consent,
        subject=row.subject,
        split=row.split,
    )


def describe_difference(older: DatasetVersion, newer: DatasetVersion, found: Comparison) -> DifferenceDescription:
    return DifferenceDescription(
        older=older.ref,
        newer=newer.ref,
        num_same=found.num_same,
        num_removed=found.num_removed,
        num_added=found.num_added,
        removed=[_describe_changed(row) for row in found.removed],
        added=[_describe_changed(row) for row in found.added],
    )


def _describe_changed(row: ChangedRow) -> ChangedRowDescription:
    return ChangedRowDescription(
        id=row.id,
        content=msgspec.json.decode(row.content),
        origin=row.origin,
        operator=row.operator,
        reason=row.reason,
        detail=row.detail,
        successor=row.successor,
    )


def describe_preview(preview: Preview) -> PreviewDescription:
    return PreviewDescription(
        shape=preview.shape.name,
        title=preview.shape.title,
        kind=preview.shape.kind,
        rows=[describe_row(row) for row in preview.rows],
        left_out=list(preview.left_out),
        num_files=preview.num_files,
        num_bytes=preview.num_bytes,
        problems=list(preview.problems),
    )


def describe_result(result: QueryResult) -> QueryDescription:
    return QueryDescription(columns=result.columns, rows=result.rows, is_cut=result.is_cut)


def describe_export(exported: Exported) -> DatasetExportDescription:
    return DatasetExportDescription(path=str(exported.path), num_rows=exported.num_rows, size_bytes=exported.size)


def _fields(version: DatasetVersion, own: Labels, dataset: Labels) -> dict[str, Any]:
    return {
        "name": version.dataset,
        "version": version.ref,
        "digest": version.digest,
        "kind": version.kind,
        "num_rows": version.num_rows,
        "content_bytes": version.content_bytes,
        "size_bytes": version.size,
        "license": version.license,
        "source": version.source,
        "parents": list(version.parents),
        "recipe": None if version.recipe is None else dict(version.recipe),
        "report": dict(version.report),
        "made_by": version.made_by,
        "description": own.description,
        "tags": dict(own.tags),
        "dataset_description": dataset.description,
        "dataset_tags": dict(dataset.tags),
        "created_at": version.created_at,
    }
