"""Records versions: puts their files into the store, then everything known about them into the database at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.byte_progress import report_bytes
from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.encryption.sealed_path import plain_size
from llmos.core.errors import DownloadFailed, UnsupportedModel
from llmos.core.progress import Progress
from llmos.core.store.blobs import StoredFile
from llmos.core.store.store import Store
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.tables import VersionFileRow, VersionRow
from llmos.models.versions.file_facts import describe, describe_adapter
from llmos.models.versions.manifest import Derivation, Manifest
from llmos.models.versions.versions import Version, version_of

Check = Callable[[Session], None]
"""Raises where a version must not be recorded. Called in the transaction that records it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of a version, as it is recorded with it."""

    source: str
    """A location, import:PATH, archive:FILE, or made:REF of the parent."""
    license: str | None
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Sampling parameters that take precedence over those in the files."""
    adapted: Version | None = None
    """For an adapter, the version that it adapts."""
    parent: Version | None = None
    """For a version that was derived here, the version that it was made from."""
    recipe: Mapping[str, Any] | None = None
    """For a version that was derived here, how."""
    derivation: Derivation | None = None
    """For a version that was derived on another installation. Its parent needn't be here."""
    actor: str | None = None
    """The caller who made or imported it; None: the user of this process."""


class Recorder:
    """Adds versions to the store and the database."""

    def __init__(self, database: Database, store: Store, clock: Clock) -> None:
        self._database, self._store, self._clock = database, store, clock

    def add_files(self, files: Mapping[str, Path], progress: Progress) -> Sequence[StoredFile]:
        """Put {name: path} into the store. Call it inside store.publishing(), and record() in the same block."""
        stored = []
        for name, path in files.items():
            digest, size = self._store.add(path, report_bytes(progress, name, plain_size(path)))
            stored.append(StoredFile(name, digest, size))
        return stored

    def record(
        self, name: str, files: Sequence[StoredFile], origin: Origin, check: Check = lambda session: None
    ) -> Version:
        """List a version of the model `name` whose files are in the store. Call it inside store.publishing().

        Where the store encrypts new blobs, those of the version that were there before are encrypted, too.
        The same manifest is the same version: a known one is returned, a removed one listed again. Raises
        DownloadFailed where a blob was removed meanwhile, BadModelFile or UnsupportedModel for the files, and
        UnsupportedModel where it would replace versions that can run and can't itself.
        """
        if lost := [file.name for file in files if not self._store.has(file.digest, file.size)]:
            raise DownloadFailed(f"{', '.join(lost)} was removed while {name} was added. Try again.")
        if self._store.encrypts():
            for file in files:
                self._store.seal(file.digest)
        paths = {file.name: self._store.blob_path(file.digest) for file in files}
        adapted, derivation = origin.adapted, _derivation_of(origin)
        description = describe(paths) if adapted is None else describe_adapter(paths, self._paths(adapted))
        manifest = Manifest(files=files, adapts=adapted.digest if adapted else None, derivation=derivation)
        digest, now = manifest.digest, self._clock()
        with self._database.transaction() as session:
            queries.ensure_model(session, name, now)
            check(session)
            row = queries.version_with_digest(session, name, digest)
            if description.unsupported is not None:
                _check_leads_nowhere(session, name, digest, description.unsupported)
            if row is None:
                row = VersionRow(
                    model=name,
                    number=queries.next_number(session, name),
                    digest=digest,
                    created_at=now,
                    source=origin.source,
                    license=origin.license,
                    format=description.format,
                    family=description.family,
                    quantization=description.dtype_summary,
                    parameters=description.num_parameters,
                    context_length=description.context_length,
                    # A derivation's parameters are part of the digest, so those in the files must not replace them.
                    sampling=derivation.sampling if derivation else {**description.sampling, **origin.sampling},
                    adapts=adapted.number if adapted else None,
                    parent=derivation.parent if derivation else None,
                    recipe=derivation.recipe if derivation else None,
                    made_by=origin.actor or this_user(),
                    files=[VersionFileRow(name=file.name, digest=file.digest, size=file.size) for file in files],
                )
                session.add(row)
            elif origin.sampling and not derivation:
                row.sampling = {**description.sampling, **origin.sampling}
            row.removed_at = None
            session.flush()
            return version_of(row)

    def _paths(self, version: Version) -> dict[str, Path]:
        return {file.name: self._store.blob_path(file.digest) for file in version.files}


def _check_leads_nowhere(session: Session, name: str, digest: str, unsupported: str) -> None:
    """Raise UnsupportedModel where calls to the model's name would move to a version that can't run."""
    if others := [row for row in queries.versions(session, name) if row.digest != digest and row.adapts is None]:
        raise UnsupportedModel(
            f"This can't be a version of {name}, because calls to {name} would move from {version_of(others[-1]).ref}"
            f" to it and it can't run: {unsupported} Give it a name of its own.",
            param="name",
        )


def _derivation_of(origin: Origin) -> Derivation | None:
    if origin.parent is None:
        return origin.derivation
    return Derivation(
        parent=origin.parent.digest,
        recipe=dict(origin.recipe or {}),
        license=origin.license,
        sampling=dict(origin.parent.sampling),
    )
