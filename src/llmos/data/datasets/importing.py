"""Imports: from files to a version. Files are read as streams, so that memory doesn't depend on their size.

preview = examine(layout, ImportOptions())          # the shape, with two rows, before anything is kept
version = import_files(datasets, "support", layout, options, source="import:support.jsonl")
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.progress import Progress, no_progress
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.folder import DataFile, Layout
from llmos.data.datasets.formats import FileReport, Records, is_document, plain_name, read_records
from llmos.data.datasets.records import (
    BadRow,
    HashSubject,
    ImportOptions,
    RowReader,
    decode_record,
    map_columns,
)
from llmos.data.datasets.rows import COLUMNS, Row
from llmos.data.datasets.shapes import Shape, left_out, recognize, shape_named
from llmos.data.datasets.versions import DatasetVersion
from llmos.data.datasets.writer import VersionWriter

MAX_PROBLEMS = 20
"""The bad lines that are named; the others are counted."""

_SAMPLE = 100
_SHOWN = 2
_REPORT_EVERY = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The result that an import would have."""

    shape: Shape
    rows: Sequence[Row]
    """The first two rows."""
    left_out: Sequence[str]
    """The columns of the first records that aren't kept."""
    num_files: int
    num_bytes: int
    """Bytes of the files, as they are."""
    problems: Sequence[str]
    """The bad ones among the first records."""


@dataclass(slots=True)
class Problems:
    """Bad lines: the first ones, and how many."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, file: DataFile, line: int, error: BadRow) -> None:
        self.count += 1
        if len(self.first) < MAX_PROBLEMS:
            place = f"{file.name}:{line}" + (f": {error.field}" if error.field else "")
            self.first.append(f"{place}: {error.reason}" if line else error.reason)  # It names the whole file.

    def as_error(self) -> BadRequest:
        more = f"\n… and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        lines = "\n".join(self.first)
        return BadRequest(
            f"{self.count:,} {'line is no row' if self.count == 1 else 'lines are no rows'}, and nothing was kept."
            f" Correct them, or leave them out with --on-error skip:\n{lines}{more}"
        )


@dataclass(slots=True)
class DocumentReports:
    """The reports of the readers of documents, summed up."""

    count: int = 0
    found_characters: int = 0
    kept_characters: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, file: DataFile, report: FileReport) -> None:
        self.count += 1
        self.found_characters += report.found_characters
        self.kept_characters += report.kept_characters
        self.left_out.update(report.left_out)
        self.notes += [f"{file.name}: {note}" for note in report.notes][: MAX_PROBLEMS - len(self.notes)]

    def as_report(self) -> dict[str, Any]:
        """Return {"documents": …}, with the share of the found text that was kept; nothing without documents."""
        if not self.count:
            return {}
        share = self.kept_characters / self.found_characters if self.found_characters else 1.0
        report = {"count": self.count, "kept": round(share, 4), "left_out": dict(sorted(self.left_out.items()))}
        return {"documents": {**report, "notes": self.notes}}


def examine(layout: Layout, options: ImportOptions, hash_subject: HashSubject = str) -> Preview:
    """Return what importing these files would do. Raises BadRequest for files in no shape that is known."""
    shape, sample = _find_shape(layout, options)
    reader, problems, rows = RowReader(shape, options, hash_subject), Problems(), []
    for file, number, record in sample:
        try:
            rows.append(reader.row(record, f"{plain_name(file.name)}:{number}", file.split))
        except BadRow as error:
            problems.add(file, number, error)
    columns = [
        name for found in _objects(sample)[0] for name in left_out(shape, found) if name not in options.mapping.values()
    ]
    return Preview(
        shape=shape,
        rows=rows[:_SHOWN],
        left_out=list(dict.fromkeys(columns)),
        num_files=len(layout.files),
        num_bytes=sum(file.path.stat().st_size for file in layout.files),
        problems=problems.first,
    )


def import_files(
    datasets: ProjectDatasets,
    name: str,
    layout: Layout,
    options: ImportOptions,
    *,
    source: str,
    hash_subject: HashSubject = str,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> DatasetVersion:
    """Import files as a version of the dataset `name`. The same files give the same version.

    Raises BadRequest with the first bad lines and their number, unless they are to be skipped; nothing is kept then.
    """
    preview = examine(layout, options, hash_subject)
    license = options.license or layout.license
    with datasets.writing(
        name, preview.shape.kind, source=source, license=license, claimed=layout.manifest, actor=actor
    ) as writer:
        running = _Import(RowReader(preview.shape, options, hash_subject), writer, options.on_error == "stop")
        has_documents = _has_documents(layout)
        for file in layout.files:
            records = read_records(file.path, file.name, beside_documents=has_documents)
            running.add_file(file, records, progress)
        problems = running.problems
        if problems.count and (options.on_error == "stop" or not writer.num_rows):
            raise problems.as_error()
        writer.report.update(_report(preview, running))
        return writer.finish()


@dataclass(slots=True)
class _Import:
    """The files that have been read so far."""

    reader: RowReader
    writer: VersionWriter
    stops: bool
    """A bad line ends the import."""
    problems: Problems = field(default_factory=Problems)
    documents: DocumentReports = field(default_factory=DocumentReports)

    def add_file(self, file: DataFile, records: Records, progress: Progress) -> None:
        size = file.path.stat().st_size if file.name.endswith(".jsonl") else None
        origin, num_bytes = plain_name(file.name), 0
        progress(file.name, 0, size)
        for index, (number, record) in enumerate(records):
            if isinstance(record, FileReport):
                self.documents.add(file, record)
                continue
            try:
                row = self.reader.row(record, f"{origin}:{number}", file.split)
            except BadRow as error:
                self.problems.add(file, number, error)
                continue
            num_bytes += len(record) + 1 if isinstance(record, bytes) else len(row.body)
            if not (self.stops and self.problems.count):  # The other lines are read for their problems only.
                self.writer.add(row)
            if index % _REPORT_EVERY == 0:
                progress(file.name, num_bytes if size is None else min(num_bytes, size), size)
        progress(file.name, num_bytes if size is None else size, num_bytes if size is None else size)


def _find_shape(layout: Layout, options: ImportOptions) -> tuple[Shape, list[tuple[DataFile, int, Any]]]:
    """Return the shape of the files, and their first records. Raises BadRequest."""
    sample = list(islice(_records(layout), _SAMPLE))
    if not sample:
        names = ", ".join(file.name for file in layout.files[:5])
        raise BadRequest(f"There are no records in {names}.", param="path")
    if options.shape is not None:
        shape = shape_named(options.shape)
        _check_mapping(shape, options.mapping)
        return shape, sample
    objects, problems = _objects(sample)
    if not objects:
        raise BadRequest(problems.first[0], param="path")
    mapped = []
    for found in objects:
        try:
            mapped.append(map_columns(found, options.mapping, str))
        except BadRow as error:
            raise BadRequest(f"{error.reason} There are {', '.join(found)}.", param="map") from None
    shape = recognize(mapped, layout.files[0].name)
    _check_mapping(shape, options.mapping)
    return shape, sample


def _objects(sample: Sequence[tuple[DataFile, int, Any]]) -> tuple[list[Mapping[str, Any]], Problems]:
    """Return the records that are JSON objects, and the problems of the others."""
    objects, problems = [], Problems()
    for file, number, record in sample:
        try:
            objects.append(decode_record(record))
        except BadRow as error:
            problems.add(file, number, error)
    return objects, problems


def _check_mapping(shape: Shape, mapping: Mapping[str, str]) -> None:
    known = [name for name in (*shape.fields.__struct_encode_fields__, *COLUMNS) if name not in ("llmos", "origin")]
    for name in mapping:
        if name not in known:
            raise BadRequest(f"The shape {shape.name} has no field {name}. It has {', '.join(known)}.", param="map")


def _records(layout: Layout) -> Iterator[tuple[DataFile, int, Any]]:
    """Yield the records of all files until the first one that can't be read, of which the import itself says why.

    Documents take long to parse and have all the same shape: a good one is enough.
    """
    has_documents = _has_documents(layout)
    for file in layout.files:
        for number, record in read_records(file.path, file.name, beside_documents=has_documents):
            if isinstance(record, FileReport):
                return
            yield file, number, record


def _has_documents(layout: Layout) -> bool:
    """Return whether there are documents: beside them, a text is one too, instead of one text on each line."""
    return any(is_document(file.name) for file in layout.files)


def _report(preview: Preview, finished: _Import) -> dict[str, Any]:
    """Return what the version says of its import."""
    problems = finished.problems
    widened = {f"{name} ({kind})": count for (name, kind), count in sorted(finished.reader.widened.items())}
    return {
        "shape": preview.shape.name,
        "files": preview.num_files,
        **({"skipped": problems.count, "problems": problems.first} if problems.count else {}),
        **({"widened": widened} if widened else {}),
        **({"left_out": list(preview.left_out)} if preview.left_out else {}),
        **finished.documents.as_report(),
    }
