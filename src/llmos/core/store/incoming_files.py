"""Files that arrive in a store or are made in it, before they are blobs: downloads, copies and scratch folders."""

import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from llmos.core.encryption.sealed_path import SealedFolder
from llmos.core.locks import locked
from llmos.core.store.blob_files import disk_errors
from llmos.core.store.blobs import StoredFile
from llmos.core.store.store_folder import SEALED_SUFFIX, StoreFolder

_SCRATCH_SUFFIX = ".making"


class IncomingFiles(StoreFolder, ABC):
    """The folder `incoming` of a store. Any thread and any process may use it."""

    def __init__(self, path: Path, *, encrypts: Callable[[], bool]) -> None:
        super().__init__(path)
        self.encrypts = encrypts

    @abstractmethod
    def has(self, digest: str, size: int) -> bool:
        """Return whether the blob exists and has this size. Does not read its content."""

    @contextmanager
    def receiving(
        self, files: Collection[StoredFile], on_wait: Callable[[], None] | None = None
    ) -> Iterator[dict[StoredFile, Path]]:
        """Yield {file: path of its .part} for the files that are not in the store.

        This process holds locks on them until the block ends. Another process that needs the same bytes waits here
        (`on_wait` is called once before), and then finds them in the store. A .part may hold the bytes of an earlier
        attempt.
        """
        with disk_errors(self.path), ExitStack() as held:
            self._make_folders()
            parts: dict[StoredFile, Path] = {}
            # All processes lock in the same order, so that two never wait for each other.
            for file in sorted({file.digest: file for file in files}.values(), key=lambda file: file.digest):
                part = self._incoming / f"{file.digest.removeprefix('sha256:')}.part"
                held.enter_context(locked(part.with_suffix(".lock"), on_wait=on_wait))
                if not self.has(file.digest, file.size):
                    parts[file] = part
            yield parts

    @contextmanager
    def locked_incoming(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[Path]:
        """Hold the lock on the incoming files whose names begin with `key`, and yield the path that they begin with.

        `on_wait` is called once before waiting for another process.
        """
        with disk_errors(self.path):
            self._make_folders()
            with locked(self._incoming / f"{key}.lock", on_wait=on_wait):
                yield self._incoming / key

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder on the store's disk, removed when the block ends. Removes those of killed processes.

        Where the store encrypts new blobs, the folder's files are encrypted, too.
        """
        with disk_errors(self.path):
            self._make_folders()
            for folder in self._incoming.glob(f"*{_SCRATCH_SUFFIX}"):
                self._remove_abandoned(folder)
        folder = self._incoming / f"{secrets.token_hex(8)}{_SCRATCH_SUFFIX}"
        with locked(folder.with_suffix(".lock")):
            folder.mkdir()
            try:
                yield SealedFolder.of(folder) if self.encrypts() else folder
            finally:
                shutil.rmtree(folder)

    def unfinished(self) -> list[tuple[Path, int]]:
        """Return the path and bytes so far of each interrupted download."""
        unfinished = []
        for path in sorted(self._incoming.glob("*.part")):
            with suppress(FileNotFoundError):  # It has been completed meanwhile.
                unfinished.append((path, path.stat().st_size))
        return unfinished

    def num_received(self, digest: str) -> int:
        """Return the bytes of an incomplete blob that have arrived."""
        part = self._incoming / self._sealed_path(digest).with_suffix(".part").name
        return part.stat().st_size if part.exists() else 0

    def _sweep(self) -> None:
        """Delete copies, scratch folders and locks that killed processes left, and plain blobs that are encrypted by
        now. Parts stay for the next attempt."""
        for path in list((self.path / "blobs" / "sha256").glob(f"*{SEALED_SUFFIX}")):
            path.with_name(path.name.removesuffix(SEALED_SUFFIX)).unlink(missing_ok=True)
        for path in list(self._incoming.iterdir()):
            if path.suffix == ".copy":
                path.unlink()  # Copies are written while publishing, and now no process publishes.
            elif path.suffix == ".lock" or path.is_dir():
                self._remove_abandoned(path)

    def _remove_abandoned(self, path: Path) -> None:
        """Delete a folder or a lock file, unless a process holds the lock."""
        with suppress(BlockingIOError), locked(path.with_suffix(".lock"), wait=False):
            if path.is_dir():
                shutil.rmtree(path)
