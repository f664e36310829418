"""Versions on their way: here from any location, there to a server or a registry, in and out of archives."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from llmos.core.errors import BadModelFile, BadRequest
from llmos.models.names import check_name
from llmos.models.registry import Registry
from llmos.models.sources import Gathered, Progress, gather, no_progress, source_kinds
from llmos.models.store import StoredFile
from llmos.models.transfer.archive import is_archive, read_archive, write_archive
from llmos.models.transfer.importing import is_adapter
from llmos.models.transfer.pushing import Pushed, push
from llmos.models.versions.facts import describe, used
from llmos.models.versions.recording import Origin
from llmos.models.versions.records import Record, read_record, record_of
from llmos.models.versions.signatures import check_signatures
from llmos.models.versions.versions import Version


def is_location(text: str) -> bool:
    """Whether this names a place to pull from rather than a model of the catalog."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and (kind in source_kinds() or "/" in text)


class Transfers:
    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store

    def pull(self, location: str, name: str | None = None, progress: Progress = no_progress) -> Version:
        """Get the version at a location and return it, called `name`, or as it is called there.

        What has arrived is kept for the next attempt where this one fails. Raises BadRequest for a location that is
        none, and where no name is known; DownloadFailed, BadModelFile or UnsupportedModel.
        """
        if name is not None:
            check_name(name, "a model")

        def on_wait() -> None:
            progress(f"waiting for another process that gets {location}", 0, None)

        with self._store.arriving(location, on_wait) as arrivals:
            gathered = gather(location, arrivals, self._registry.access, progress)
            version = self._take_in_gathered(gathered, name, progress)
            arrivals.done()
        return version

    def push(self, ref: str, target: str, progress: Progress = no_progress, *, base: str | None = None) -> Pushed:
        """Send a version to `target`: see pushing.push."""
        version = self._registry.resolve(ref)
        files = self._registry.files(version)
        return push(self._record_of(version), files, target, self._registry.access, progress, base)

    def export(self, ref: str, path: Path | None = None, progress: Progress = no_progress) -> Path:
        """Write a version into one file and return where that is. Raises Conflict for a file that is there."""
        version = self._registry.resolve(ref)
        path = path or Path(f"{version.model}-{version.number}.llmos.tar")
        write_archive(self._record_of(version), self._registry.files(version), path, progress)
        return path

    def import_path(
        self, path: Path, name: str | None = None, progress: Progress = no_progress, *, license: str | None = None
    ) -> Version:
        """Take in what lies on this disk: an archive, or what Registry.import_path takes, which has to be named."""
        if not is_archive(path):
            if name is None:
                raise BadRequest(f"Say what to call the model: llmos import {path} --name NAME", param="name")
            return self._registry.import_path(path, name, progress, license=license)
        with self._store.arriving(f"archive:{path.absolute()}") as arrivals:
            version = self._take_in_gathered(read_archive(path, arrivals, progress), name, progress)
            arrivals.done()
        return version

    def take_in(self, record: Record, name: str, source: str) -> Version | list[str]:
        """List a version whose blobs have been brought, or return the digests of those that are still missing."""
        check_name(name, "a model")
        check_signatures(record.signatures)  # before anything is listed
        with self._store.publishing():
            missing = [file.digest for file in record.stored_files if not self._store.has(file.digest, file.size)]
            if missing:
                return sorted(set(missing))
            version = self._registry.recorder.record(name, record.stored_files, record.origin(source))
        self._keep_signatures(version, record)
        return version

    def _record_of(self, version: Version) -> Record:
        return record_of(version, self._registry.signatures.get(version))

    def _keep_signatures(self, version: Version, record: Record | None) -> None:
        for signature in record.signatures if record else ():
            self._registry.signatures.put(version, signature)

    def _take_in_gathered(self, gathered: Gathered, name: str | None, progress: Progress) -> Version:
        record = read_record(gathered.record) if gathered.record is not None else None
        check_signatures(record.signatures if record else ())  # before anything is stored
        if name is None and record is None:
            raise BadRequest(f"{gathered.location} doesn't say what the model is called. Add --name NAME", param="name")
        name = check_name(name or (record.model if record else ""), "a model")
        if is_adapter(gathered.files):
            raise BadRequest(
                f"{gathered.location} holds an adapter. Download it, then: llmos import FOLDER --name MODEL:ADAPTER"
            )
        description = describe(gathered.files)  # before anything is stored
        kept = used(gathered.files)
        files = dict(gathered.files) if record else {name: gathered.files[name] for name in kept.names}
        with self._store.publishing():
            for path in files.values():
                if path.is_relative_to(self._store.path):
                    path.chmod(0o444)  # it becomes the blob itself
            stored = self._registry.recorder.add_files(files, progress)
            if record is None:
                license = description.license or gathered.license or kept.license
                origin = Origin(source=gathered.location, license=license)
            else:
                _check_arrived(record, stored)
                origin = record.origin(gathered.location)
            version = self._registry.recorder.record(name, stored, origin)
        self._keep_signatures(version, record)
        return version


def _check_arrived(record: Record, stored: Sequence[StoredFile]) -> None:
    """Raise BadModelFile, naming the file, where other bytes arrived than the record lists."""
    arrived: Mapping[str, StoredFile] = {file.name: file for file in stored}
    for file in record.stored_files:
        got = arrived.get(file.name)
        if got != file:
            what = f"arrived as {got.digest}" if got else "did not arrive"
            raise BadModelFile(f"{file.name} {what}; the version's record lists {file.digest}. Nothing was taken in.")
    if extra := set(arrived) - {file.name for file in record.files}:
        raise BadModelFile(f"{', '.join(sorted(extra))} came along, but the version's record lists no such file.")
