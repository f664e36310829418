"""The folder of a store: the paths of blobs, its locks, and the room on its disk. Reads and writes no blob."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.errors import BadModelFile, StoreFailed
from llmos.core.locks import locked
from llmos.core.store.blob_files import disk_errors

SEALED_SUFFIX = ".sealed"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"(sha256|hmac):[0-9a-f]{64}")


class StoreFolder:
    """The folder of a store. store.py draws its layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._incoming = path / "incoming"
        self._damaged = path / "damaged"

    def digest_at(self, path: Path) -> str | None:
        """Return the digest of the plain blob at this path; None for any other file."""
        digest = f"sha256:{path.name}"
        return digest if _DIGEST.fullmatch(digest) and path == self._plain(digest) else None

    def is_encrypted(self, digest: str) -> bool:
        return self._sealed_path(digest).exists()

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Turn errors of a full or unwritable disk into StoreFailed with advice."""
        with disk_errors(self.path):
            yield

    def free_bytes(self) -> int:
        """Return the free space on the store's disk."""
        self._make_folders()
        stats = os.statvfs(self.path)
        return stats.f_bavail * stats.f_frsize

    def check_room(self, needed_bytes: int, what: str) -> None:
        """Raise StoreFailed, with the numbers, unless `needed_bytes` more fit on the disk. `what` needs them."""
        with disk_errors(self.path):
            free = self.free_bytes()
        if needed_bytes > free:
            raise StoreFailed(
                f"{what} needs {needed_bytes:,} bytes in {self.path}, and {free:,} are free there."
                f" Free {needed_bytes - free:,} more bytes, or choose another LLMOS_HOME."
            )

    def _names(self) -> list[str]:
        """Return the name of every blob, sorted."""
        paths = (self.path / "blobs").glob("*/*")
        names = {f"{path.parent.name}:{path.name.removesuffix(SEALED_SUFFIX)}" for path in paths}
        return sorted(filter(_NAME.fullmatch, names))

    def _plain(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise BadModelFile(f"{digest!r} is not a digest; write sha256: and 64 hexadecimal digits.")
        return self.path / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _plain_beside(self, digest: str) -> Path | None:
        """Return the path of the plain blob, whether it exists or not; None for a blob that is never plain."""
        return None if digest.startswith("hmac:") else self._plain(digest)

    def _sealed_path(self, digest: str) -> Path:
        if not _NAME.fullmatch(digest):
            raise BadModelFile(f"{digest!r} is not a digest; write sha256: and 64 hexadecimal digits.")
        scheme, _, name = digest.partition(":")
        return self.path / "blobs" / scheme / f"{name}{SEALED_SUFFIX}"

    def _make_folders(self) -> None:
        for scheme in ("sha256", "hmac"):
            (self.path / "blobs" / scheme).mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _store_lock(self, mode: int) -> Iterator[None]:
        with disk_errors(self.path):
            self._make_folders()
            with locked(self.path / "lock", mode, keep=True):
                yield
