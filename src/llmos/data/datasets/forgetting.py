"""Forgets a person: takes their rows out of every version of a project's datasets.

A version keeps its digest, which says what was imported, and counts the rows that are gone in its report. Segments
without rows of the person stay as they are. A crash in between leaves each version whole: the same call removes what is
left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from llmos.core.store.blobs_in_use import collect
from llmos.core.store.store import Store
from llmos.core.versioning.project_queries import version_with_digest
from llmos.data.datasets import segments
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.datasets import Datasets, segment_row
from llmos.data.datasets.rows import records_of
from llmos.data.datasets.sealed_sources import lend_files
from llmos.data.datasets.tables import DATASETS
from llmos.data.datasets.versions import DatasetVersion, Segment


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment without the rows of a person."""

    segment: Segment | None
    """None: no row is left."""
    num_rows: int
    """The rows that are gone."""
    num_bytes: int
    """The bytes of their contents."""


def forget_rows(datasets: Datasets, project: str, subject: str) -> dict[str, int]:
    """Take the rows of a person out of all versions, and return {reference: number of rows}.

    `subject`: the keyed hash of what the rows call the person.
    """
    cuts: dict[str, Cut | None] = {}
    found: dict[str, int] = {}
    store = datasets.store.of_project(project)
    for version in datasets.of(project).list():
        with store.scratch() as scratch, store.publishing(), store.disk_errors():
            for segment in _segments_of(version):
                if segment.blob not in cuts:
                    cuts[segment.blob] = _cut(store, version, segment, subject, scratch)
            num_rows = sum(cut.num_rows for each in _segments_of(version) if (cut := cuts[each.blob]) is not None)
            if num_rows:
                with datasets.database.transaction(frees_space=True) as session:
                    _replace_segments(session, project, version, cuts)
                found[version.ref] = num_rows
    if found:
        collect(datasets.database, datasets.store)
    return found


def _segments_of(version: DatasetVersion) -> Sequence[Segment]:
    return [segment for segment in version.segments if segment.role == "rows"]


def _cut(store: Store, version: DatasetVersion, segment: Segment, subject: str, scratch: Path) -> Cut | None:
    """Return the segment without the person's rows, which is in the store then; None if it has none."""
    blob = store.blob_path(segment.blob)
    with open_columnar() as connection, lend_files(connection, [blob]) as names:
        query = "SELECT count(*) FROM read_parquet(?) WHERE subject = ?"
        if not connection.execute(query, [names, subject]).fetchall()[0][0]:
            return None
    rows = [row for batch in segments.read_rows(blob, version.kind) for row in batch]
    kept = [row for row in rows if row.subject != subject]
    gone = [row for row in rows if row.subject == subject]
    num_bytes = sum(len(row.body) for row in gone)
    if not kept:
        return Cut(None, len(gone), num_bytes)
    staged = store.stage(segments.encode_rows(kept), scratch)
    store.add_staged(staged)
    rows_digest = segments.digest_of_records(records_of(kept))
    cut = replace(segment, blob=staged.digest, size=staged.size, rows_digest=rows_digest, num_rows=len(kept))
    return Cut(cut, len(gone), num_bytes)


def _replace_segments(session: Session, project: str, version: DatasetVersion, cuts: dict[str, Cut | None]) -> None:
    """Put the cut segments in the places of the others."""
    row = version_with_digest(session, DATASETS, f"{project}/{version.dataset}", version.digest)
    if row is None:  # It was removed meanwhile.
        return
    left: list[Segment] = []
    for segment in version.segments:
        cut = cuts.get(segment.blob)
        if cut is None:
            left.append(segment)
            continue
        row.num_rows -= cut.num_rows
        row.content_bytes -= cut.num_bytes
        row.report = {**(row.report or {}), "erased": (row.report or {}).get("erased", 0) + cut.num_rows}
        if cut.segment is not None:
            left.append(cut.segment)
    row.segments.clear()
    session.flush()
    row.segments.extend(segment_row(position, each) for position, each in enumerate(left))
