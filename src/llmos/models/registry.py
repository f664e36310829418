"""The registry: models by name, their versions, and the files that make up each version.

A version is immutable and identified by the digest of its manifest. It is listed once all its bytes are in the store.
models/transfer adds versions by pull and import, models/deriving by recipes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption.sealed_path import is_any_sealed, split_keys
from llmos.core.errors import ModelNotFound, UnsupportedModel
from llmos.core.names import parse_reference
from llmos.core.sources import Access
from llmos.core.store.blobs_in_use import collect
from llmos.core.store.store import Store
from llmos.core.versioning.aliases import Aliases
from llmos.core.versioning.labels import Labels, LabelStore
from llmos.core.versioning.queries import aliases as aliases_of
from llmos.engine.messages import AdapterFiles
from llmos.models import queries
from llmos.models.catalog import Catalog
from llmos.models.tables import MODELS
from llmos.models.versions.derived import DerivedVersions, find_ref
from llmos.models.versions.file_facts import Runnability, read_metadata, runnability
from llmos.models.versions.finding import Finder
from llmos.models.versions.manifest import Manifest
from llmos.models.versions.recording import Recorder
from llmos.models.versions.removing import Refuse, remove_from_list
from llmos.models.versions.signatures import Signatures
from llmos.models.versions.versions import Details, Loadable, Removed, Version, manifest_of, version_of

if TYPE_CHECKING:
    from llmos.engine.checkpoint.metadata import Metadata
    from llmos.models.versions.records import VersionRecord

CheckArrival = Callable[["VersionRecord", Mapping[str, Path]], None]
"""check(record, files): raises UntrustedModel where the record has a trusted key's signature of something else."""


class Registry:
    """The versions in one database and one store. Any thread and any process may use them."""

    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        catalog_path: Path | None = None,
        access: Access | None = None,
        packed_path: Path | None = None,
        check_arrival: CheckArrival = lambda record, files: None,
        clock: Clock = utc_now,
    ) -> None:
        """`packed_path`: the folder of engines' packed weights, which are removed with their versions.
        `check_arrival`: called with each version that arrives from another installation, before it is listed."""
        self.check_arrival = check_arrival
        self.database, self.store, self._packed_path = database, store, packed_path
        self._catalog_path, self.access, self._clock = catalog_path, access or Access(), clock
        self._finder = Finder(lambda: self.catalog.names())
        self.recorder = Recorder(database, store, clock)
        self.aliases = Aliases(database, self._finder, clock, lambda ref: self.check_runs(self.resolve(ref)))
        self.labels = LabelStore(database, self._finder, clock)
        self.signatures = Signatures(database, clock)
        self.derived = DerivedVersions(database, self.recorder, store)

    def encrypting(self) -> "Registry":
        """Return this registry, which encrypts the files of all versions that are added through it."""
        registry = copy(self)
        registry.store = self.store.encrypting()
        registry.recorder = Recorder(self.database, registry.store, self._clock)
        registry.derived = DerivedVersions(self.database, registry.recorder, registry.store)
        return registry

    def encrypting_like(self, parent: Version) -> "Registry":
        """Return the registry that what is made from `parent` is added to: encrypted if any file of it is."""
        return self.encrypting() if is_any_sealed(self.files(parent)) else self

    def is_encrypted(self, version: Version) -> bool:
        """Return whether all files of a version are encrypted."""
        return bool(version.files) and all(self.store.is_encrypted(file.digest) for file in version.files)

    @cached_property
    def catalog(self) -> Catalog:
        """The models that can be pulled by name. Raises BadRequest for an invalid catalog file."""
        return Catalog.load(self._catalog_path)

    def resolve(self, ref: str) -> Version:
        """Return the version that a reference names. Raises ModelNotFound with similar names."""
        reference = parse_reference(ref)
        with self.database.session() as session:
            return version_of(self._finder.version(session, reference))

    def has(self, ref: str) -> bool:
        """Return whether a reference names a version."""
        try:
            self.resolve(ref)
        except ModelNotFound:
            return False
        return True

    def list(self) -> list[Version]:
        """Return all versions, sorted by name and number."""
        with self.database.session() as session:
            return [version_of(row) for row in queries.versions(session)]

    def names(self) -> Sequence[str]:
        """Return the names of all models that have a version."""
        with self.database.session() as session:
            return queries.model_names(session)

    def show(self, ref: str) -> Details:
        """Return a version with its aliases, labels, siblings and parent. Raises ModelNotFound."""
        version = self.resolve(ref)
        with self.database.session() as session:
            aliases = [
                name for name, number in aliases_of(session, MODELS, version.model).items() if number == version.number
            ]
            siblings = [version_of(row).ref for row in queries.versions(session, version.model)]
            made_from = find_ref(session, version.parent, version.parent_ref) if version.parent is not None else None
        labels, runnability = self.labels.all(), self.runnability(version)
        return Details(
            version=version,
            aliases=tuple(aliases),
            versions=tuple(siblings),
            made_from=made_from,
            labels=labels.get((version.model, version.number), Labels()),
            model_labels=labels.get((version.model, 0), Labels()),
            task=runnability.task,
            unsupported=runnability.unsupported,
            warnings=runnability.warnings,
        )

    def files(self, version: Version) -> dict[str, Path]:
        """Return {name in the model's folder: path of the blob}."""
        return {file.name: self.store.blob_path(file.digest) for file in version.files}

    def metadata(self, version: Version) -> "Metadata":
        """Return the metadata in the version's files, and its chat template. Raises BadModelFile for broken files."""
        return read_metadata(self.loadable(version).files)

    def loadable(self, version: Version) -> Loadable:
        """Return the files that a replica loads to serve a version."""
        if version.adapts is None:
            return Loadable(version=version, files=self.files(version))
        adapted = self.resolve(f"{version.model}@{version.adapts}")
        adapter = AdapterFiles(version.digest, *split_keys(self.files(version)))
        return Loadable(version=adapted, files=self.files(adapted), adapter=adapter)

    def manifest(self, version: Version) -> Manifest:
        """Return the manifest whose digest is the version's."""
        adapted = None
        if version.adapts is not None:
            with self.database.session() as session:
                adapted = queries.version(session, version.model, version.adapts).digest
        return manifest_of(version, adapted)

    def remove(self, ref: str, refuse: Refuse | None = None, *, actor: str | None = None) -> Removed:
        """Remove a whole model (NAME), one version (NAME@3), or only an alias (NAME:ALIAS), and delete unused blobs.

        `actor`: who removes it; None is the user of this process. Raises ModelNotFound, Conflict for a version that an
        alias points at, and whatever `refuse` raises. Then nothing is removed.
        """
        with self.database.transaction(frees_space=True) as session:
            removed = remove_from_list(session, self._finder, ref, refuse, self._clock(), actor)
        freed_bytes = self.collect() if removed.versions else 0
        return replace(removed, freed_bytes=freed_bytes)

    def collect(self) -> int:
        """Delete the blobs that nothing uses, and return the number of bytes freed."""
        freed = collect(self.database, self.store)
        self.remove_unused_packed()
        return freed

    def remove_unused_packed(self) -> None:
        """Remove packed weights whose model files are gone, changed or encrypted."""
        if self._packed_path is not None and self._packed_path.is_dir():
            # Imports numpy and the runner, which most uses of a registry don't need.
            from llmos.engine.packed_file import sweep

            with suppress(OSError):  # The next packing sweeps too.
                sweep(self._packed_path)

    def runnability(self, version: Version) -> Runnability:
        """Return whether this engine can run a version, from its files: weights, tokenizer and chat template."""
        adapted = self.loadable(version).files
        return runnability(adapted if version.adapts is None else self.files(version), adapted)

    def check_runs(self, version: Version, param: str = "model") -> None:
        """Raise UnsupportedModel, with the reason, for a version that this engine can't run.

        Says nothing of a version whose files are missing: loading it does, and `doctor` says how to get them back.
        """
        if not version.files or not all(self.store.has(file.digest, file.size) for file in version.files):
            return
        if (unsupported := self.runnability(version).unsupported) is not None:
            raise UnsupportedModel(f"{version.ref} can't run: {unsupported}", param=param)
