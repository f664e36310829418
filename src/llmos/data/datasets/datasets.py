"""Datasets: the datasets of all projects, and ProjectDatasets, those of one: names, versions, rows, aliases, labels."""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, NewerVersion, StoreFailed
from llmos.core.names import check_name, parse_reference
from llmos.core.store.blobs_in_use import collect
from llmos.core.store.store import Store
from llmos.core.versioning import project_queries
from llmos.core.versioning import queries as naming
from llmos.core.versioning.aliases import Aliases
from llmos.core.versioning.labels import Labels, LabelStore
from llmos.core.versioning.project_finding import ProjectFinder
from llmos.core.versioning.removing import Removed, remove_from_list
from llmos.core.who import this_user
from llmos.data.datasets import queries, segments
from llmos.data.datasets.contents import Kind
from llmos.data.datasets.manifest import Manifest
from llmos.data.datasets.rows import Row
from llmos.data.datasets.segments import Change
from llmos.data.datasets.tables import DATASETS, DatasetSegmentRow, DatasetVersionRow
from llmos.data.datasets.versions import DatasetVersion, Segment, version_of
from llmos.data.datasets.writer import Draft, VersionWriter, WrittenSegment

_PUBLISHING_THREADS = 4
"""They wait for the disk: that writes several files at once in little more time than one."""

INSTALLATION = "owner"
"""The installation's own project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A version with its relations, for display."""

    version: DatasetVersion
    aliases: tuple[str, ...]
    """The aliases that point at this version."""
    versions: tuple[str, ...]
    """The references of all versions of the dataset."""
    made_from: tuple[str, ...]
    """The parents' references, or their digests where they are unknown here."""
    labels: Labels
    dataset_labels: Labels


class Datasets:
    """The datasets in one database and one store. Any thread and any process may use them."""

    def __init__(self, database: Database, store: Store, *, clock: Clock = utc_now) -> None:
        self.database, self.store, self.clock = database, store, clock

    def of(self, project: str = INSTALLATION) -> "ProjectDatasets":
        """Return the datasets of one project."""
        return ProjectDatasets(self, project)

    def remove_project(self, project: str) -> None:
        """Remove all datasets of a project, and the blobs that nothing else uses."""
        with self.database.transaction(frees_space=True) as session:
            queries.remove_project(session, project)
        collect(self.database, self.store)


class ProjectDatasets:
    """The datasets of one project. Those of another one don't exist for it."""

    def __init__(self, datasets: Datasets, project: str) -> None:
        self.project = project
        self._database, self._clock = datasets.database, datasets.clock
        self._store = datasets.store.of_project(project)
        self._finder = ProjectFinder(DATASETS, project)
        self.aliases = Aliases(self._database, self._finder, self._clock)
        self.labels = LabelStore(self._database, self._finder, self._clock)

    def resolve(self, ref: str) -> DatasetVersion:
        """Return the version that a reference names. Raises NotFound with similar names."""
        reference = parse_reference(ref, "dataset")
        with self._database.session() as session:
            return version_of(self._finder.version(session, reference))

    def list(self) -> Sequence[DatasetVersion]:
        """Return all versions, by name and number."""
        with self._database.session() as session:
            return [version_of(row) for row in project_queries.versions_of_project(session, DATASETS, self.project)]

    def labels_of(self, versions: Sequence[DatasetVersion]) -> Mapping[tuple[str, int], Labels]:
        """Return {(key of the name, number): labels} of these versions and their names."""
        return self.labels.all({self._finder.key(version.dataset) for version in versions})

    def show(self, ref: str) -> Details:
        """Return a version with its aliases, labels, siblings and parents. Raises NotFound."""
        version = self.resolve(ref)
        key = self._finder.key(version.dataset)
        with self._database.session() as session:
            numbers = naming.aliases(session, DATASETS, key)
            siblings = [row.ref for row in project_queries.versions(session, DATASETS, key)]
            refs = {
                row.digest: version_of(row).ref
                for row in project_queries.versions_of_project(session, DATASETS, self.project)
            }
        labels = self.labels_of([version])
        return Details(
            version=version,
            aliases=tuple(name for name, number in numbers.items() if number == version.number),
            versions=tuple(siblings),
            made_from=tuple(refs.get(digest, digest) for digest in version.parents),
            labels=labels.get((key, version.number), Labels()),
            dataset_labels=labels.get((key, 0), Labels()),
        )

    def rows(self, version: DatasetVersion) -> Iterator[Row]:
        """Yield the rows of a version, in order. Raises BadModelFile for a damaged segment."""
        for batch in self.batches(version):
            yield from batch

    def batches(self, version: DatasetVersion) -> Iterator[Sequence[Row]]:
        """Yield the rows of a version in batches of about a thousand, in order."""
        for segment in version.segments:
            if segment.role == "rows":
                yield from segments.read_rows(self._store.blob_path(segment.blob), version.kind)

    def changes(self, version: DatasetVersion) -> Iterator[Change]:
        """Yield what became of the rows of the version's parents, as far as it is recorded."""
        for segment in version.segments:
            if segment.role == "changes":
                for batch in segments.read_changes(self._store.blob_path(segment.blob)):
                    yield from batch

    def paths(self, version: DatasetVersion, role: Literal["rows", "changes"]) -> builtins.list[Path]:
        """Return the files of the version's segments."""
        return [self._store.blob_path(segment.blob) for segment in version.segments if segment.role == role]

    def head(self, version: DatasetVersion, limit: int, skip: int = 0) -> Sequence[Row]:
        """Return `limit` rows of a version, behind the first `skip` ones. Reads no segment that has none of them."""
        found: builtins.list[Row] = []
        for segment in (each for each in version.segments if each.role == "rows"):
            if len(found) >= limit:
                break
            if skip >= segment.num_rows:
                skip -= segment.num_rows
                continue
            for batch in segments.read_rows(self._store.blob_path(segment.blob), version.kind):
                found += batch[skip : skip + limit - len(found)]
                skip = max(0, skip - len(batch))
                if len(found) >= limit:
                    break
        return found

    def writing(
        self,
        name: str,
        kind: Kind,
        *,
        source: str | None = None,
        license: str | None = None,
        parents: Sequence[DatasetVersion] = (),
        recipe: Mapping[str, Any] | None = None,
        claimed: Mapping[str, Any] | None = None,
        actor: str | None = None,
        last_number: int | None = None,
    ) -> VersionWriter:
        """Return a writer of a new version of the dataset `name`, to be used as a context manager.

        `source`: its origin; None for the parents. `license`: None for that of the parents, if they agree. `recipe`:
        how it is made from the parents, as JSON; a part of the digest, as the parents are. `claimed`: the manifest that
        came with the rows, which holds if they are those that it names. `actor`: who makes it; None
        is the user of this process. `last_number`: what last_number() was when the rows were read; finish() raises
        NewerVersion if another version was made since. Raises BadRequest for an invalid name or recipe, and Conflict
        where the dataset has versions of another kind.
        """
        check_name(name, "a dataset")
        with self._database.session() as session:
            _check_kind(session, self._finder.key(name), kind)
        if license is None and len({parent.license for parent in parents}) == 1:
            license = parents[0].license
        draft = Draft(
            name=name,
            kind=kind,
            source=source or f"made:{'+'.join(parent.ref for parent in parents)}",
            license=license,
            parents=parents,
            recipe=recipe,
            claimed=claimed,
            actor=actor,
            last_number=last_number,
        )
        return VersionWriter(self._store, draft, self._find_segment, self._record)

    def last_number(self, name: str) -> int:
        """Return the number of the version that was made last, removed or not; 0 where there was none."""
        with self._database.session() as session:
            return project_queries.next_number(session, DATASETS, self._finder.key(name)) - 1

    def remove(self, ref: str, *, actor: str | None = None) -> Removed:
        """Remove a whole dataset (NAME), one version (NAME@3), or only an alias (NAME:ALIAS), and delete unused blobs.

        Raises NotFound, and Conflict for a version that an alias points at.
        """
        reference = parse_reference(ref, "dataset")
        with self._database.transaction(frees_space=True) as session:
            removed = remove_from_list(session, self._finder, reference, self._clock(), actor)
        return replace(removed, freed_bytes=collect(self._database, self._store) if removed.versions else 0)

    def _find_segment(self, rows_digest: str) -> Segment | None:
        with self._database.session() as session:
            row = queries.segment_with_rows(session, self.project, rows_digest)
            if row is None or not self._store.has(row.blob, row.size):
                return None
            return Segment(
                role="rows", num_rows=row.num_rows, rows_digest=row.rows_digest, blob=row.blob, size=row.size
            )

    def _record(
        self,
        draft: Draft,
        manifest: Manifest,
        written: Sequence[WrittenSegment],
        content_bytes: int,
        report: Mapping[str, Any],
    ) -> DatasetVersion:
        """Put the new segments into the store, and list the version."""
        key, digest, now = self._finder.key(draft.name), manifest.digest, self._clock()
        with self._store.publishing():
            with ThreadPoolExecutor(_PUBLISHING_THREADS, thread_name_prefix="publishing") as threads:
                stored = list(threads.map(self._publish, written))
            with self._database.transaction() as session:
                project_queries.ensure_name(session, DATASETS, key, now)
                _check_kind(session, key, draft.kind)
                row = project_queries.version_with_digest(session, DATASETS, key, digest)
                if row is None:
                    if draft.last_number is not None:
                        _check_last(session, key, draft)
                    row = DatasetVersionRow(
                        owner=key,
                        number=project_queries.next_number(session, DATASETS, key),
                        digest=digest,
                        created_at=now,
                        kind=draft.kind,
                        num_rows=manifest.num_rows,
                        content_bytes=content_bytes,
                        rows_digest=manifest.rows,
                        source=draft.source,
                        license=manifest.license,
                        parents=list(manifest.parents),
                        recipe=None if manifest.recipe is None else dict(manifest.recipe),
                        report=dict(report),
                        made_by=draft.actor or this_user(),
                    )
                    session.add(row)
                if row.removed_at is not None or not self._has_all(row):
                    row.removed_at, row.report = None, dict(report)
                    row.num_rows, row.content_bytes = manifest.num_rows, content_bytes
                    row.segments.clear()
                    session.flush()
                    row.segments.extend(segment_row(position, each) for position, each in enumerate(stored))
                session.flush()
                version = version_of(row)
                describe_action(version.ref, rows=version.num_rows)
                return version

    def _has_all(self, row: DatasetVersionRow) -> bool:
        """Return whether all segments of a version are in the store: damaged ones may have been moved away, and
        encrypted ones been discarded with their keys."""
        return bool(row.segments) and all(self._store.has(each.blob, each.size) for each in row.segments)

    def _publish(self, written: WrittenSegment) -> Segment:
        """Return the segment, which is in the store now. Raises StoreFailed where it was removed meanwhile."""
        segment, staged = written.segment, written.staged
        if staged is not None:
            self._store.add_staged(staged)
            return replace(segment, blob=staged.digest, size=staged.size)
        if not self._store.has(segment.blob, segment.size):
            raise StoreFailed("Rows that this version shares with another one were removed meanwhile. Try again.")
        return segment


def segment_row(position: int, segment: Segment) -> DatasetSegmentRow:
    """Return the database row of a segment."""
    return DatasetSegmentRow(
        position=position,
        role=segment.role,
        blob=segment.blob,
        size=segment.size,
        rows_digest=segment.rows_digest,
        num_rows=segment.num_rows,
    )


def _check_last(session: Session, key: str, draft: Draft) -> None:
    """Raise NewerVersion, which says what the other one is, if another version was made since."""
    last = project_queries.next_number(session, DATASETS, key) - 1
    if last == draft.last_number:
        return
    rows = [row for row in project_queries.versions(session, DATASETS, key) if row.number == last]
    facts = "".join(f" by {row.made_by}, with {row.num_rows:,} rows, from {row.source}," for row in rows)
    raise NewerVersion(
        f"{draft.name}@{last} was made{facts} after this version was begun, and would be left out of it. Begin again.",
        param="name",
    )


def _check_kind(session: Session, key: str, kind: Kind) -> None:
    """Raise Conflict where the dataset has versions of another kind."""
    if (rows := project_queries.versions(session, DATASETS, key)) and rows[-1].kind != kind:
        newest = version_of(rows[-1])
        raise Conflict(
            f"{newest.ref} has rows of the kind {newest.kind}, and these are of the kind {kind}. Choose another name.",
            param="name",
        )
