"""AppVersions: those of all projects, and ProjectApps, those of one: names, versions, files, aliases, labels."""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.canonical import canonical
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import NotFound
from llmos.core.names import check_name, parse_reference
from llmos.core.store.blobs import StagedBlob
from llmos.core.store.blobs_in_use import collect
from llmos.core.store.store import Store
from llmos.core.suggest import did_you_mean
from llmos.core.versioning import project_queries
from llmos.core.versioning import queries as naming
from llmos.core.versioning.aliases import Aliases
from llmos.core.versioning.labels import Labels, LabelStore
from llmos.core.versioning.project_finding import ProjectFinder
from llmos.core.versioning.removing import Removed, remove_from_list
from llmos.core.who import this_user
from llmos.data.app_versions import queries
from llmos.data.app_versions.tables import APPS, AppFileRow, AppVersionRow
from llmos.data.app_versions.unpacking import Unpacked
from llmos.data.app_versions.versions import (
    AppContent,
    AppFile,
    AppFiles,
    AppVersion,
    digest_of_files,
    file_of,
    version_of,
)
from llmos.data.apps.deployments import check_removed
from llmos.data.prompts.prompts import PromptDraft, Prompts

INSTALLATION = "owner"
"""The installation's own project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A version with its manifest and its relations, for display."""

    version: AppVersion
    manifest: Mapping[str, Any]
    aliases: tuple[str, ...]
    """The aliases that point at this version."""
    versions: tuple[str, ...]
    """The references of all versions of the application."""
    labels: Labels
    app_labels: Labels


class AppVersions:
    """The applications in one database and one store. Any thread and any process may use them."""

    def __init__(self, database: Database, store: Store, folder: Path, *, clock: Clock = utc_now) -> None:
        """`folder`: where versions are unpacked."""
        self.database, self.store, self.clock = database, store, clock
        self.unpacked = Unpacked(folder)

    def of(self, project: str = INSTALLATION) -> "ProjectApps":
        """Return the applications of one project."""
        return ProjectApps(self, project)

    def unpack(self, project: str, ref: str) -> Path:
        """Return a read-only folder with the files of a version. Raises NotFound."""
        apps = self.of(project)
        return apps.unpack(apps.resolve(ref))

    def remove_project(self, project: str) -> None:
        """Remove all applications of a project, and the blobs and folders that nothing else uses."""
        with self.database.transaction(frees_space=True) as session:
            queries.remove_project(session, project)
        collect(self.database, self.store)
        self.sweep()

    def sweep(self) -> None:
        """Remove the folders of versions that were removed, and what a killed process was unpacking."""
        with self.database.session() as session:
            kept = queries.live_digests(session)
        self.unpacked.sweep(kept)


class ProjectApps:
    """The applications of one project. Those of another one don't exist for it."""

    def __init__(self, apps: AppVersions, project: str) -> None:
        self.project = project
        self._apps, self._database, self._clock = apps, apps.database, apps.clock
        self._store = apps.store.of_project(project)
        self._finder = ProjectFinder(APPS, project)
        self._prompts = Prompts(apps.database, apps.store, clock=apps.clock).of(project)
        self.aliases = Aliases(self._database, self._finder, self._clock)
        self.labels = LabelStore(self._database, self._finder, self._clock)

    def resolve(self, ref: str) -> AppVersion:
        """Return the version that a reference names. Raises NotFound with similar names."""
        reference = parse_reference(ref, "app")
        with self._database.session() as session:
            return version_of(self._finder.version(session, reference))

    def list(self) -> Sequence[AppVersion]:
        """Return all versions, by name and number."""
        with self._database.session() as session:
            return [version_of(row) for row in project_queries.versions_of_project(session, APPS, self.project)]

    def labels_of(self, versions: Sequence[AppVersion]) -> Mapping[tuple[str, int], Labels]:
        """Return {(key of the name, number): labels} of these versions and their names."""
        return self.labels.all({self._finder.key(version.app) for version in versions})

    def show(self, ref: str) -> Details:
        """Return a version with its manifest, aliases, labels and siblings. Raises NotFound."""
        version = self.resolve(ref)
        key = self._finder.key(version.app)
        with self._database.session() as session:
            numbers = naming.aliases(session, APPS, key)
            siblings = [row.ref for row in project_queries.versions(session, APPS, key)]
        labels = self.labels_of([version])
        return Details(
            version=version,
            manifest=self.manifest(version),
            aliases=tuple(name for name, number in numbers.items() if number == version.number),
            versions=tuple(siblings),
            labels=labels.get((key, version.number), Labels()),
            app_labels=labels.get((key, 0), Labels()),
        )

    def manifest(self, version: AppVersion) -> Mapping[str, Any]:
        """Return what app.yaml says, as JSON."""
        found: Mapping[str, Any] = msgspec.json.decode(self._store.blob_path(version.manifest_blob).read_bytes())
        return found

    def read(self, version: AppVersion, name: str) -> bytes:
        """Return the content of a file. Raises NotFound with similar names."""
        for file in version.files:
            if file.name == name:
                return self._store.blob_path(file.blob).read_bytes()
        raise NotFound(
            f"{version.ref} has no file {name!r:.200}. {did_you_mean(name, [file.name for file in version.files])}",
            param="file",
        )

    def files(self, version: AppVersion) -> AppFiles:
        """Return the files of a version, to compare them."""
        files = {file.name: file for file in version.files}
        read = partial(self.read, version)
        return AppFiles(app=version.app, ref=version.ref, manifest=self.manifest(version), files=files, read=read)

    def contents(self, version: AppVersion) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of the files, by name."""
        for file in version.files:
            yield file.name, self._store.blob_path(file.blob).read_bytes()

    def unpack(self, version: AppVersion) -> Path:
        """Return a read-only folder with the files of a version. It is there until the version is removed."""
        return self._apps.unpacked.unpack(self.project, version.digest, self.contents(version))

    def create(self, content: AppContent, *, actor: str | None = None) -> AppVersion:
        """Store a version with its prompts, or return the one that is the same already.

        `actor`: who makes it; None is the user of this process. Raises BadRequest for an invalid name.
        """
        check_name(content.name, "an app")
        with self._store.scratch() as scratch:
            staged: dict[str, StagedBlob] = {}
            files = []
            for name, body in content.files:
                blob = staged[name] = self._store.stage(body, scratch)
                files.append(file_of(name, body, blob.digest))
            files.sort(key=lambda file: file.name)
            manifest = self._store.stage(canonical(dict(content.manifest)), scratch)
            drafts = [self._prompts.stage(name, text, scratch) for name, text in content.prompts.items()]
            with self._store.publishing():
                for blob in [*staged.values(), manifest, *(draft.staged for draft in drafts)]:
                    self._store.add_staged(blob)
                with self._database.transaction() as session:
                    row = self._record(session, content, files, manifest, actor or this_user())
                    row.prompts = self._record_prompts(session, row, drafts, actor)
                    session.flush()
                    version = version_of(row)
                    describe_action(version.ref, files=len(version.files))
        return version

    def remove(self, ref: str, *, actor: str | None = None) -> Removed:
        """Remove a whole application (NAME), one version (NAME@3), or only an alias (NAME:ALIAS), and delete unused
        blobs and folders. Prompts that came with it stay.

        Raises NotFound, and Conflict for a version that an alias points at, or that is deployed.
        """
        reference = parse_reference(ref, "app")
        with self._database.transaction(frees_space=True) as session:
            removed = remove_from_list(session, self._finder, reference, self._clock(), actor)
            check_removed(session, self.project, ref.partition("@")[0].partition(":")[0], removed.versions)
        if not removed.versions:
            return removed
        freed = collect(self._database, self._apps.store)
        self._apps.sweep()
        return replace(removed, freed_bytes=freed)

    def _record(
        self, session: Session, content: AppContent, files: Sequence[AppFile], manifest: StagedBlob, actor: str
    ) -> AppVersionRow:
        """List the version, unless it is listed."""
        key, digest, now = self._finder.key(content.name), digest_of_files(files), self._clock()
        project_queries.ensure_name(session, APPS, key, now)
        row = project_queries.version_with_digest(session, APPS, key, digest)
        if row is None:
            row = AppVersionRow(
                owner=key,
                number=project_queries.next_number(session, APPS, key),
                digest=digest,
                created_at=now,
                made_by=actor,
                model=content.model,
                permissions=[*content.permissions],
                prompts=[],
                manifest_blob=manifest.digest,
                manifest_size=manifest.size,
            )
            session.add(row)
        if row.removed_at is not None or not self._has_all(row):
            row.removed_at, row.manifest_blob, row.manifest_size = None, manifest.digest, manifest.size
            row.files.clear()
            session.flush()
            row.files.extend(
                AppFileRow(position=position, name=each.name, digest=each.digest, blob=each.blob, size=each.size)
                for position, each in enumerate(files)
            )
        return row

    def _has_all(self, row: AppVersionRow) -> bool:
        """Return whether all files of a version are in the store: encrypted ones may have been discarded with keys."""
        blobs = [(row.manifest_blob, row.manifest_size), *((file.blob, file.size) for file in row.files)]
        return bool(row.files) and all(self._store.has(blob, size) for blob, size in blobs)

    def _record_prompts(
        self, session: Session, row: AppVersionRow, drafts: Sequence[PromptDraft], actor: str | None
    ) -> builtins.list[str]:
        source = f"app:{row.ref}"
        return [self._prompts.record(session, draft, source=source, actor=actor).ref for draft in drafts]
