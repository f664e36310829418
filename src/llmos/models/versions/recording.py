"""How a version gets into the list: its bytes into the store, then what is known of it into the database, at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.errors import DownloadFailed
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.sources import Progress
from llmos.models.store import Store, StoredFile
from llmos.models.tables import VersionFileRow, VersionRow
from llmos.models.transfer.pulling import reporting
from llmos.models.versions.facts import describe, describe_adapter
from llmos.models.versions.manifest import Making, Manifest
from llmos.models.versions.versions import Version, version_of

Check = Callable[[Session], None]
"""Raises where a version must not be recorded. Asked in the transaction that records it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a version comes from."""

    source: str
    license: str | None
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Preferred to what the files recommend."""
    adapted: Version | None = None
    """An adapter: the version that it changes."""
    parent: Version | None = None
    recipe: Mapping[str, Any] | None = None
    """A made version: from which one, and how."""
    making: Making | None = None
    """How another installation made it, where it comes from there: its parent needn't be here."""
    actor: str | None = None
    """Who made it or brought it in. None: the user of this process."""


class Recorder:
    def __init__(self, database: Database, store: Store, clock: Clock) -> None:
        self._database, self._store, self._clock = database, store, clock

    def add_files(self, found: Mapping[str, Path], progress: Progress) -> Sequence[StoredFile]:
        """Put the files into the store. Call while publishing."""
        files = []
        for name, path in found.items():
            digest, size = self._store.add(path, reporting(progress, name, path.stat().st_size))
            files.append(StoredFile(name, digest, size))
        return files

    def record(
        self, name: str, files: Sequence[StoredFile], origin: Origin, check: Check = lambda session: None
    ) -> Version:
        """List a version whose bytes are all in the store; the same manifest is the same version. Call while
        publishing."""
        paths = {file.name: self._store.blob_path(file.digest) for file in files}
        if lost := [file.name for file in files if not self._store.has(file.digest, file.size)]:
            raise DownloadFailed(f"{', '.join(lost)} was removed again while {name} arrived. Try it once more.")
        adapted, making = origin.adapted, _making(origin)
        description = describe(paths) if adapted is None else describe_adapter(paths, self._paths(adapted))
        manifest = Manifest(files=files, adapts=adapted.digest if adapted else None, making=making)
        digest, now = manifest.digest, self._clock()
        with self._database.transaction() as session:
            queries.ensure_model(session, name, now)
            check(session)
            row = queries.version_with_digest(session, name, digest)
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
                    # What the digest is of stays as it is, whatever the files of a made version recommend.
                    sampling=making.sampling if making else {**description.sampling, **origin.sampling},
                    adapts=adapted.number if adapted else None,
                    parent=making.parent if making else None,
                    recipe=making.recipe if making else None,
                    made_by=origin.actor or this_user(),
                    files=[VersionFileRow(name=file.name, digest=file.digest, size=file.size) for file in files],
                )
                session.add(row)
            row.removed_at = None  # the same bytes are the same version, also when they come back
            session.flush()
            return version_of(row)

    def _paths(self, version: Version) -> dict[str, Path]:
        return {file.name: self._store.blob_path(file.digest) for file in version.files}


def _making(origin: Origin) -> Making | None:
    if origin.parent is None:
        return origin.making
    return Making(
        parent=origin.parent.digest,
        recipe=dict(origin.recipe or {}),
        license=origin.license,
        sampling=dict(origin.parent.sampling),
    )
