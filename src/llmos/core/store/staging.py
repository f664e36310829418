"""The staging area of one location: where files arrive whose digests are known only once they are complete.

An interrupted download leaves its .part files here. The next attempt for the same location continues from them.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.store.blob_files import digest_of
from llmos.core.store.store import Store


class StagingArea:
    """Paths for the files of one location. Only one process has it at a time: see open_staging_area()."""

    def __init__(self, store: Store, stem: Path) -> None:
        """All paths are `stem` with other endings."""
        self._store, self._stem = store, stem

    def part_path(self, key: str) -> Path:
        """Return the path of a partial file. The same key within the location gives the same path at every attempt."""
        return self._stem.with_name(f"{self._stem.name[:32]}{hashlib.sha256(key.encode()).hexdigest()[:32]}.part")

    def scratch_folder(self) -> Path:
        """Return an empty folder. Its content doesn't survive the attempt."""
        folder = self._stem.with_name(f"{self._stem.name}.scratch")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def find_stored(self, digest: str, size: int) -> Path | None:
        """Return the path of a blob that is in the store already, or None. Does not read its content."""
        return self._store.blob_path(digest) if self._store.has(digest, size) else None

    def find_verified(self, digest: str) -> Path | None:
        """Return the path of a blob in the store whose content has this digest, or None. Reads all of its content."""
        path = self._store.blob_path(digest)
        return path if path.is_file() and digest_of(path) == digest else None

    def check_room(self, needed_bytes: int, what: str) -> None:
        """Raise StoreFailed unless `needed_bytes` more fit on the store's disk."""
        self._store.check_room(needed_bytes, what)

    def clear(self) -> None:
        """Remove everything that arrived. Call it once the files are in the store."""
        for path in self._stem.parent.glob(f"{self._stem.name[:32]}*.part"):
            path.unlink()
        shutil.rmtree(self._stem.with_name(f"{self._stem.name}.scratch"), ignore_errors=True)


@contextmanager
def open_staging_area(store: Store, location: str, on_wait: Callable[[], None] | None = None) -> Iterator[StagingArea]:
    """Give this process the location's staging area until the block ends.

    Another process that has it makes this one wait; `on_wait` is called once before waiting. What arrived stays for the
    next attempt unless clear() was called. Raises StoreFailed where the disk is full or can't be written.
    """
    key = hashlib.sha256(location.encode()).hexdigest()
    with store.locked_incoming(key, on_wait) as stem:
        yield StagingArea(store, stem)
