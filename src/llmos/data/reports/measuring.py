"""Makes the report of a version. Memory and time stay bounded: long versions are measured by a random part of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from llmos.core.schemas.dataset_cleaning import LeftOutDescription
from llmos.core.schemas.dataset_reports import ChangedDescription, DatasetReportDescription, LengthsDescription
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.descriptions import describe_row
from llmos.data.datasets.rows import Row
from llmos.data.datasets.segments import read_rows
from llmos.data.datasets.versions import DatasetVersion
from llmos.data.operators.kinds.personal_data import Replacement
from llmos.data.operators.operator import Context
from llmos.data.reports.counting import count_rows
from llmos.data.reports.examples import left_out_examples
from llmos.data.reports.lengths import describe_lengths
from llmos.data.reports.lineage import lineage_of

MAX_MEASURED = 5000
"""The rows that are measured, about, of versions that have more."""

_MAX_MEASURED_BYTES = 32 << 20
_MAX_SEGMENTS = 64
"""The segments that the measured rows are read from: so many, evenly spaced, of versions that have more."""

_ID_PREFIX = 1 << 64

Mask = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    tokens: str | None = None
    """A model: its tokens of each row are counted, too."""
    samples: int = 5
    """Rows to show."""
    mask: bool = False
    """Put placeholders in the place of personal data."""


def make_report(
    datasets: ProjectDatasets, reference: str, options: ReportOptions, context: Context
) -> DatasetReportDescription:
    """Return the report of a version. Raises NotFound for an unknown version or model, and BadRequest for a model that
    counts no tokens of such rows."""
    details = datasets.show(reference)
    version = details.version
    mask = _mask(options, context)
    counts = count_rows(datasets.paths(version, "rows"))
    rows = list(_measured_rows(datasets, version))
    shown = sorted(rows, key=lambda row: row.id)[: options.samples]
    return DatasetReportDescription(
        version=version.ref,
        digest=version.digest,
        kind=version.kind,
        num_rows=version.num_rows,
        content_bytes=version.content_bytes,
        size_bytes=version.size,
        license=version.license,
        source=version.source,
        description=details.labels.description or details.dataset_labels.description,
        tags={**details.dataset_labels.tags, **details.labels.tags},
        made_by=version.made_by,
        created_at=version.created_at,
        counts=counts.columns,
        num_with_subject=counts.num_with_subject,
        num_repeated=counts.num_repeated,
        num_erased=version.report.get("erased", 0),
        num_measured=len(rows),
        lengths=_lengths(rows, options.tokens, context),
        left_out=_left_out(datasets, version, mask),
        changed=_changed(version),
        lineage=lineage_of(datasets, version, mask),
        samples=[describe_row(_masked(row, mask)) for row in shown],
        is_masked=options.mask,
    )


def _mask(options: ReportOptions, context: Context) -> Mask:
    return Replacement(context.personal_data(())) if options.mask else str


def _masked(row: Row, mask: Mask) -> Row:
    """Return the row with its texts masked, under the id that it has in the version."""
    return msgspec.structs.replace(row.map_texts(mask), id=row.id)


def _measured_rows(datasets: ProjectDatasets, version: DatasetVersion) -> Iterator[Row]:
    """Yield all rows of a version, or a random part of them, the same one each time."""
    paths = datasets.paths(version, "rows")
    wanted = min(1.0, MAX_MEASURED / version.num_rows, _MAX_MEASURED_BYTES / max(1, version.content_bytes))
    step = -(-len(paths) // _MAX_SEGMENTS)
    share = min(1.0, wanted * step)
    below = "" if share == 1 else f"{int(share * _ID_PREFIX):016x}"
    found = (row for path in paths[::step] for batch in read_rows(path, version.kind, below=below) for row in batch)
    first = next(found, None)
    if first is None:  # By chance, no id of a few long rows is small enough.
        yield from islice(datasets.rows(version), 1)
        return
    yield first
    yield from found


def _lengths(rows: Sequence[Row], model: str | None, context: Context) -> list[LengthsDescription]:
    lengths = [describe_lengths("characters", [sum(map(len, row.texts)) for row in rows])]
    if model is not None:
        count = context.token_counter(model)
        lengths.append(describe_lengths("tokens", [count(row.content) for row in rows], model))
    return lengths


def _left_out(datasets: ProjectDatasets, version: DatasetVersion, mask: Mask) -> list[LeftOutDescription]:
    """Describe the rows of the parents that the recipe left out, the most frequent reasons first."""
    reasons = _reasons(version, "dropped")
    examples = left_out_examples(datasets, version, [each[:2] for each in reasons], mask)
    return [
        LeftOutDescription(operator=operator, reason=reason, num_rows=count, examples=examples[operator, reason])
        for operator, reason, count in reasons
    ]


def _changed(version: DatasetVersion) -> list[ChangedDescription]:
    return [
        ChangedDescription(operator=operator, reason=reason, num_rows=count)
        for operator, reason, count in _reasons(version, "replaced")
    ]


def _reasons(version: DatasetVersion, kind: str) -> list[tuple[str, str, int]]:
    """Return (operator, reason, rows) of what was dropped or replaced."""
    counts: dict[str, dict[str, int]] = version.report.get(kind, {})
    found = [(operator, reason, count) for operator, each in counts.items() for reason, count in each.items()]
    return sorted(found, key=lambda each: (-each[2], each[:2]))
