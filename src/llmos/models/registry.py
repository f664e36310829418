"""Models by name: which versions there are, which files make them up, how they get here and how they go.

A Version is immutable and known by the digest of its manifest. It is listed once all of its bytes are in the store.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadModelFile, BadRequest, Conflict, DownloadFailed
from llmos.engine.messages import AdapterFiles
from llmos.models import queries
from llmos.models.catalog import Catalog, Entry, Source
from llmos.models.names import check_name, parse_reference
from llmos.models.sources import Access, Progress, no_progress
from llmos.models.store import Store
from llmos.models.transfer.pulling import pull_from
from llmos.models.versions.aliases import Aliases
from llmos.models.versions.facts import describe, describe_adapter, metadata, used
from llmos.models.versions.finding import Finder
from llmos.models.versions.labels import LabelBook
from llmos.models.versions.made import add_made, check_free, find_made, origin_of
from llmos.models.versions.manifest import Manifest
from llmos.models.versions.recording import Origin, Recorder
from llmos.models.versions.removing import Refuse, take_from_list
from llmos.models.versions.signatures import Signatures
from llmos.models.versions.versions import Details, Labels, Loadable, Removed, Version, manifest_of, version_of

if TYPE_CHECKING:
    from llmos.engine.checkpoint.description import Description
    from llmos.engine.checkpoint.metadata import Metadata

Notice = Callable[[str], None]
"""Told, in a sentence, what went another way than planned."""


class Registry:
    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        catalog_path: Path | None = None,
        access: Access | None = None,
        packed_path: Path | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """`packed_path`: where engines keep packed weights, which go with the versions that they were made from."""
        self.database, self.store, self._packed_path = database, store, packed_path
        self._catalog_path, self.access, self._clock = catalog_path, access or Access(), clock
        self._finder = Finder(lambda: self.catalog)
        self.recorder = Recorder(database, store, clock)
        self.aliases = Aliases(database, self._finder, clock)
        self.labels = LabelBook(database, self._finder, clock)
        self.signatures = Signatures(database, clock)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog.load(self._catalog_path)

    def resolve(self, ref: str) -> Version:
        """Return the version that a reference names. Raises ModelNotFound, with what was probably meant."""
        reference = parse_reference(ref)
        with self.database.session() as session:
            return version_of(self._finder.version(session, reference))

    def list(self) -> list[Version]:
        """Every version there is, by name and number."""
        with self.database.session() as session:
            return [version_of(row) for row in queries.versions(session)]

    def show(self, ref: str) -> Details:
        version = self.resolve(ref)
        with self.database.session() as session:
            pointing = [
                name for name, number in queries.aliases(session, version.model).items() if number == version.number
            ]
            siblings = [version_of(row).ref for row in queries.versions(session, version.model)]
            made_from = origin_of(session, version.parent)
        labels = self.labels.all()
        return Details(
            version=version,
            aliases=tuple(pointing),
            versions=tuple(siblings),
            made_from=made_from,
            labels=labels.get((version.model, version.number), Labels()),
            model_labels=labels.get((version.model, 0), Labels()),
            unsupported=self._describe(version).unsupported,
        )

    def files(self, version: Version) -> dict[str, Path]:
        """Return where each file of a version lies, by its name in the model's folder."""
        return {file.name: self.store.blob_path(file.digest) for file in version.files}

    def metadata(self, version: Version) -> "Metadata":
        """Return what the version's files say key by key, and its chat template."""
        return metadata(self.loadable(version).files)

    def loadable(self, version: Version) -> Loadable:
        """Return what a replica needs to answer for a version."""
        if version.adapts is None:
            return Loadable(version=version, files=self.files(version))
        adapted = self.resolve(f"{version.model}@{version.adapts}")
        adapter = AdapterFiles(version.digest, {name: str(path) for name, path in self.files(version).items()})
        return Loadable(version=adapted, files=self.files(adapted), adapter=adapter)

    def catalog_entry(self, name: str) -> Entry:
        """Return what the catalog says of a model. Raises ModelNotFound, with the nearest names."""
        return self._finder.entry(name)

    def pull(self, name: str, progress: Progress = no_progress, notice: Notice | None = None) -> Version:
        """Get a model of the catalog and return its version; at once where its files are here already.

        The sources are tried in order, and `notice` hears of those that failed. Raises DownloadFailed, with the reason
        of each, where none of them works; what has arrived is kept for the next attempt.
        """
        entry = self._finder.entry(name)
        if (version := self._already_here(entry)) is not None:
            return version
        reasons = []
        for source in entry.sources:
            try:
                return self._pull_from(entry, source, progress)
            except (DownloadFailed, BadModelFile) as error:
                reasons.append(f"{source.location}: {error.message}")
                if notice is not None and source is not entry.sources[-1]:
                    notice(f"{reasons[-1]}; trying the next source")
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise DownloadFailed(f"{name} can't be downloaded. Every source failed:{listed}")

    def import_path(
        self, path: Path, name: str, progress: Progress = no_progress, *, license: str | None = None
    ) -> Version:
        """Take in a GGUF file, a Hugging Face folder, or a LoRA adapter, which is called MODEL:ADAPTER and changes the
        newest version of the model. The bytes stay as they are, shared by hard link where the file system allows it.
        Raises BadRequest, BadModelFile or UnsupportedModel before anything is stored.
        """
        # Knows the formats, and with them numpy: a list of models does without.
        from llmos.models.transfer.importing import files_to_import, is_adapter

        check_name(name.partition(":")[0], "a model")
        found = files_to_import(path)
        if is_adapter(found):
            return self._import_adapter(path, found, name, progress, license)
        check_name(name, "a model")
        description = describe(found)
        kept = used(found)
        with self.store.publishing():
            license = license or description.license or kept.license
            files = self.recorder.add_files({name: found[name] for name in kept.names}, progress)
            return self.recorder.record(name, files, Origin(source=_import_source(path), license=license))

    def add_made(
        self,
        name: str,
        files: Mapping[str, Path],
        *,
        parent: Version,
        recipe: Mapping[str, Any],
        made_by: str | None = None,
        progress: Progress = no_progress,
    ) -> Version:
        """List the version that `recipe` made from `parent`, as a version of the model `name`. Licence and generation
        defaults are the parent's; the same recipe that gives the same files is the same version.

        Raises Conflict where `name` is a model that wasn't made from the same parent model, BadRequest for a recipe
        that isn't JSON and for a parent that is an adapter.
        """
        return add_made(
            self.recorder,
            self.store,
            name,
            files,
            parent=parent,
            recipe=recipe,
            made_by=made_by,
            progress=progress,
        )

    def check_made(self, name: str, parent: Version) -> None:
        """Raise what add_made would of the name and the parent, before the work is done."""
        with self.database.session() as session:
            check_free(session, name, parent)

    def find_made(self, name: str, parent: Version, recipe: Mapping[str, Any]) -> Version | None:
        """Return the version of `name` that was made from `parent` by this recipe already."""
        with self.database.session() as session:
            return find_made(session, name, parent, recipe)

    def manifest(self, version: Version) -> Manifest:
        """Return what the version's digest is of."""
        adapted = None
        if version.adapts is not None:
            with self.database.session() as session:
                adapted = queries.version(session, version.model, version.adapts).digest
        return manifest_of(version, adapted)

    def remove(self, ref: str, refuse: Refuse | None = None, *, actor: str | None = None) -> Removed:
        """Remove a whole model (NAME), one version of it (NAME@3), or only an alias (NAME:ALIAS).

        Blobs that no other version needs are deleted. Raises Conflict for a version that an alias points at, and
        whatever `refuse` does, which knows who else needs it; then nothing is removed.
        """
        with self.database.transaction() as session:
            removed = take_from_list(session, self._finder, ref, refuse, self._clock(), actor)
        freed_bytes = self.collect() if removed.versions else 0
        return replace(removed, freed_bytes=freed_bytes)

    def names(self) -> Sequence[str]:
        """The models that have a version."""
        with self.database.session() as session:
            return queries.model_names(session)

    def _describe(self, version: Version) -> "Description":
        adapted = self.loadable(version).files
        return describe(adapted) if version.adapts is None else describe_adapter(self.files(version), adapted)

    # Getting

    def _already_here(self, entry: Entry) -> Version | None:
        digests = {Manifest(files=source.files).digest for source in entry.sources}
        with self.database.session() as session:
            rows = queries.versions(session, entry.name)
            for row in rows:
                if row.digest in digests and all(self.store.has(file.digest, file.size) for file in row.files):
                    return version_of(row)
        return None

    def _pull_from(self, entry: Entry, source: Source, progress: Progress) -> Version:
        def record() -> Version:
            origin = Origin(source=source.location, license=entry.license, sampling=entry.sampling)
            return self.recorder.record(entry.name, source.files, origin)

        return pull_from(source, self.store, entry.name, self.access, progress, record)

    def _import_adapter(
        self, path: Path, found: Mapping[str, Path], name: str, progress: Progress, license: str | None
    ) -> Version:
        reference = parse_reference(name)
        if reference.alias is None:
            raise BadRequest(
                f"{path} holds an adapter, which belongs to a model. Name both: --name {reference.model}:ADAPTER",
                param="name",
            )
        adapted = self.resolve(reference.model)
        with self.database.session() as session:
            number = queries.aliases(session, reference.model).get(reference.alias)
            if number is not None and queries.version(session, reference.model, number).adapts is None:
                raise Conflict(
                    f"{name} is an alias of {reference.model}@{number}, a whole model. Give the adapter another name."
                )
        describe_adapter(found, self.files(adapted))  # before anything is stored
        with self.store.publishing():
            origin = Origin(
                source=_import_source(path),
                license=license or used(found).license,
                sampling=adapted.sampling,
                adapted=adapted,
            )
            version = self.recorder.record(reference.model, self.recorder.add_files(found, progress), origin)
        self.aliases.set(reference.model, reference.alias, version.ref)
        return version

    def collect(self) -> int:
        """Delete the blobs that no version needs, and return how many bytes that freed."""

        def referenced() -> set[str]:
            with self.database.session() as session:
                return queries.digests_in_use(session)

        freed = self.store.collect(referenced)
        if self._packed_path is not None and self._packed_path.is_dir():
            from llmos.engine.packed_file import (
                sweep,
            )  # with numpy and the runner; most who open a registry need neither

            with suppress(OSError):  # whoever packs next sweeps as well
                sweep(self._packed_path)
        return freed


def _import_source(path: Path) -> str:
    return f"import:{path.expanduser().absolute()}"
