"""Models by name: which versions there are, which files make them up, how they get here and how they go.

A Version is immutable and known by the digest of its manifest. It is listed once all of its bytes are in the store.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadModelFile, BadRequest, Conflict, DownloadFailed, ModelNotFound
from llmos.core.suggest import nearest
from llmos.engine.messages import AdapterFiles
from llmos.models import queries
from llmos.models.catalog import Catalog, Entry, Source
from llmos.models.facts import describe, describe_adapter, metadata
from llmos.models.names import Reference, check_name, parse_reference
from llmos.models.pulling import pull_from, reporting
from llmos.models.sources import Access, Progress, silent
from llmos.models.store import Store, StoredFile
from llmos.models.tables import AliasMoveRow, VersionFileRow, VersionRow
from llmos.models.versions import Details, Loadable, Removed, Version, manifest_digest, version_of

if TYPE_CHECKING:
    from llmos.engine.description import Description

if TYPE_CHECKING:
    from llmos.engine.metadata import Metadata

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
        clock: Clock = utc_now,
    ) -> None:
        self.database, self.store = database, store
        self._catalog_path, self._access, self._clock = catalog_path, access or Access(), clock

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog.load(self._catalog_path)

    def resolve(self, ref: str) -> Version:
        """Return the version that a reference names. Raises ModelNotFound, with what was probably meant."""
        reference = parse_reference(ref)
        with self.database.session() as session:
            return version_of(self._find(session, reference))

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
        return Details(
            version=version,
            aliases=tuple(pointing),
            versions=tuple(siblings),
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

    def pull(self, name: str, progress: Progress = silent, notice: Notice | None = None) -> Version:
        """Get a model of the catalog and return its version; at once where its files are here already.

        The sources are tried in order, and `notice` hears of those that failed. Raises DownloadFailed, with the reason
        of each, where none of them works; what has arrived is kept for the next attempt.
        """
        entry = self._entry(name)
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

    def import_path(self, path: Path, name: str, progress: Progress = silent, *, license: str | None = None) -> Version:
        """Take in a GGUF file, a Hugging Face folder, or a LoRA adapter, which is called MODEL:ADAPTER and changes the
        newest version of the model. The bytes stay as they are, shared by hard link where the file system allows it.
        Raises BadRequest, BadModelFile or UnsupportedModel before anything is stored.
        """
        # Knows the formats, and with them numpy: a list of models does without.
        from llmos.models.importing import files_to_import, is_adapter, license_of, without_duplicate_weights

        check_name(name.partition(":")[0], "a model")
        found = files_to_import(path)
        if is_adapter(found):
            return self._import_adapter(path, found, name, progress, license)
        check_name(name, "a model")
        description = describe(found)
        found = without_duplicate_weights(found)
        with self.store.publishing():
            license = license or description.license or license_of(found)
            return self._record(name, self._add_files(found, progress), _import_source(path), license)

    def remove(self, ref: str) -> Removed:
        """Remove a whole model (NAME), one version of it (NAME@3), or only an alias (NAME:ALIAS).

        Blobs that no other version needs are deleted. Raises Conflict for a version that an alias points at.
        """
        reference = parse_reference(ref)
        with self.database.transaction() as session:
            row = self._find(session, reference)
            aliases = queries.aliases(session, reference.model)
            if reference.alias is not None:
                self._move_alias(session, reference.model, reference.alias, None)
                return Removed(versions=(), aliases=(reference.alias,), freed_bytes=0)
            if reference.number is None and reference.digest is None:
                rows = list(queries.versions(session, reference.model))
                for alias in aliases:
                    self._move_alias(session, reference.model, alias, None)
            else:
                rows = [row]
                if adapters := [other for other in queries.versions(session, row.model) if other.adapts == row.number]:
                    raise Conflict(
                        f"{version_of(adapters[0]).ref} is an adapter of {version_of(row).ref}."
                        f" Remove the adapter first: llmos rm {version_of(adapters[0]).ref}"
                    )
                if pointing := [alias for alias, number in aliases.items() if number == row.number]:
                    raise Conflict(
                        f"{version_of(row).ref} is what {reference.model}:{pointing[0]} points at."
                        f" Remove the alias first: llmos rm {reference.model}:{pointing[0]}"
                    )
                aliases = {}
            removed = [version_of(row).ref for row in rows]
            for row in rows:
                row.removed_at = self._clock()
        return Removed(versions=tuple(removed), aliases=tuple(aliases), freed_bytes=self._collect())

    def set_alias(self, model: str, alias: str, ref: str | None) -> None:
        """Point `model:alias` at a version of the model, or at nothing. Every move is kept with its time."""
        check_name(alias, "an alias")
        with self.database.transaction() as session:
            number = None
            if ref is not None:
                reference = parse_reference(ref)
                if reference.model != model:
                    raise Conflict(f"{model}:{alias} can only point at a version of {model}; {ref} is not one.")
                number = self._find(session, reference).number
            else:
                self._find(session, Reference(model, alias=alias))
            self._move_alias(session, model, alias, number)

    def alias_history(self, model: str) -> Sequence[tuple[datetime, str, int | None]]:
        """Every move of the model's aliases: when, which, to which version number (None: removed)."""
        with self.database.session() as session:
            return [(move.moved_at, move.alias, move.number) for move in queries.alias_moves(session, model)]

    def names(self) -> Sequence[str]:
        """The models that have a version."""
        with self.database.session() as session:
            return queries.model_names(session)

    # Finding

    def _find(self, session: Session, reference: Reference) -> VersionRow:
        rows = queries.versions(session, reference.model)
        if not rows:
            raise self._model_not_found(session, reference.model)
        if reference.alias is not None:
            aliases = queries.aliases(session, reference.model)
            number = aliases.get(reference.alias)
            found = [row for row in rows if row.number == number]
            known = [f"{reference.model}:{alias}" for alias in aliases] or ["no alias"]
        elif reference.number is not None:
            found = [row for row in rows if row.number == reference.number]
            known = [version_of(row).ref for row in rows]
        elif reference.digest is not None:
            found = [row for row in rows if row.digest.startswith(reference.digest)]
            known = [f"{reference.model}@{row.digest[:19]}" for row in rows]
        else:
            found, known = [row for row in rows if row.adapts is None], []
        if not found:
            raise ModelNotFound(
                f"{reference.model} is here, but not that version of it; there is {', '.join(known)}.", param="model"
            )
        return found[-1]

    def _model_not_found(self, session: Session, name: str) -> ModelNotFound:
        if self.catalog.get(name) is not None:
            return ModelNotFound(f"{name} isn't on this machine yet. Get it with: llmos pull {name}", param="model")
        here, known = queries.model_names(session), self.catalog.names()
        if meant := nearest(name, {*here, *known}):
            ways = [word if word in here else f"{word} (llmos pull {word})" for word in meant]
            return ModelNotFound(f"There is no model {name!r}. Did you mean {' or '.join(ways)}?", param="model")
        listed = ", ".join(here) or "none yet"
        return ModelNotFound(
            f"There is no model {name!r}. Here: {listed}. In the catalog: {', '.join(known)}.", param="model"
        )

    def _entry(self, name: str) -> Entry:
        reference = parse_reference(name)
        entry = self.catalog.get(reference.model)
        if entry is None:
            meant = nearest(reference.model, self.catalog.names())
            hint = f"Did you mean {' or '.join(meant)}?" if meant else f"It has {', '.join(self.catalog.names())}."
            raise ModelNotFound(
                f"The catalog has no model {name!r}. {hint} A model of your own comes in with:"
                f" llmos import PATH --name {reference.model}",
                param="model",
            )
        if reference != Reference(entry.name):
            raise ModelNotFound(f"The catalog has one version of {entry.name}: llmos pull {entry.name}", param="model")
        return entry

    def _describe(self, version: Version) -> "Description":
        adapted = self.loadable(version).files
        return describe(adapted) if version.adapts is None else describe_adapter(self.files(version), adapted)

    # Getting

    def _already_here(self, entry: Entry) -> Version | None:
        digests = {manifest_digest(source.files) for source in entry.sources}
        with self.database.session() as session:
            rows = queries.versions(session, entry.name)
            for row in rows:
                if row.digest in digests and all(self.store.has(file.digest, file.size) for file in row.files):
                    return version_of(row)
        return None

    def _pull_from(self, entry: Entry, source: Source, progress: Progress) -> Version:
        def record() -> Version:
            return self._record(entry.name, source.files, source.location, entry.license, entry.sampling)

        return pull_from(source, self.store, entry.name, self._access, progress, record)

    def _add_files(self, found: Mapping[str, Path], progress: Progress) -> Sequence[StoredFile]:
        """Put the files into the store. Call while publishing."""
        files = []
        for name, path in found.items():
            digest, size = self.store.add(path, reporting(progress, name, path.stat().st_size))
            files.append(StoredFile(name, digest, size))
        return files

    def _import_adapter(
        self, path: Path, found: Mapping[str, Path], name: str, progress: Progress, license: str | None
    ) -> Version:
        from llmos.models.importing import license_of

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
            files, license = self._add_files(found, progress), license or license_of(found)
            version = self._record(
                reference.model, files, _import_source(path), license, adapted.sampling, adapted=adapted
            )
        self.set_alias(reference.model, reference.alias, version.ref)
        return version

    def _record(
        self,
        name: str,
        files: Sequence[StoredFile],
        source: str,
        license: str | None,
        sampling: Mapping[str, float] | None = None,
        *,
        adapted: Version | None = None,
    ) -> Version:
        """List a model, or an adapter of `adapted`, whose bytes are all in the store. Call while publishing."""
        paths = {file.name: self.store.blob_path(file.digest) for file in files}
        if lost := [file.name for file in files if not self.store.has(file.digest, file.size)]:
            raise DownloadFailed(f"{', '.join(lost)} was removed again while {name} arrived. Try it once more.")
        description = describe(paths) if adapted is None else describe_adapter(paths, self.files(adapted))
        digest, now = manifest_digest(files, adapted.digest if adapted else None), self._clock()
        with self.database.transaction() as session:
            queries.ensure_model(session, name, now)
            row = queries.version_with_digest(session, name, digest)
            if row is None:
                row = VersionRow(
                    model=name,
                    number=queries.next_number(session, name),
                    digest=digest,
                    created_at=now,
                    source=source,
                    license=license,
                    format=description.format,
                    family=description.family,
                    quantization=description.dtype_summary,
                    parameters=description.num_parameters,
                    context_length=description.context_length,
                    sampling={**description.sampling, **(sampling or {})},
                    adapts=adapted.number if adapted else None,
                    files=[VersionFileRow(name=file.name, digest=file.digest, size=file.size) for file in files],
                )
                session.add(row)
            row.removed_at = None  # the same bytes are the same version, also when they come back
            session.flush()
            return version_of(row)

    def _move_alias(self, session: Session, model: str, alias: str, number: int | None) -> None:
        session.add(AliasMoveRow(model=model, alias=alias, number=number, moved_at=self._clock()))

    def _collect(self) -> int:
        def referenced() -> set[str]:
            with self.database.session() as session:
                return queries.digests_in_use(session)

        return self.store.collect(referenced)


def _import_source(path: Path) -> str:
    return f"import:{path.expanduser().absolute()}"
