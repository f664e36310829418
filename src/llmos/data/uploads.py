"""Uploads: files that arrive over HTTP for a job, named by their digest, so that an upload goes on after a break.

LLMOS_HOME/uploads/<hash of project and digest>.part     what has arrived; removed by the job, or after a week
"""

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.locks import locked
from llmos.core.store.blob_files import digest_of
from llmos.core.store.store import Store

KEEP_SECONDS = 7 * 24 * 3600
"""Uploads that nobody went on with for this long are removed."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Uploads:
    """The uploads of all projects. Another project's don't exist for a project. Any process may use them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def path(self, project: str, digest: str) -> Path:
        """Return the path of an upload, whether it exists or not. Raises BadRequest for an invalid digest."""
        if not _DIGEST.fullmatch(digest):
            raise BadRequest(f"{digest[:80]!r} is not a digest: sha256: and 64 hexadecimal digits.", param="digest")
        name = hashlib.sha256(f"{project}\n{digest}".encode()).hexdigest()
        return self._folder / f"{name}.part"

    def num_received(self, project: str, digest: str) -> int:
        """Return the bytes that have arrived."""
        with suppress(FileNotFoundError):
            return self.path(project, digest).stat().st_size
        return 0

    @contextmanager
    def receiving(self, project: str, digest: str, size: int) -> Iterator[Path]:
        """Yield the path to append to. Raises Conflict where another request writes to it, StoreFailed without room."""
        path = self.path(project, digest)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sweep()
        try:
            with locked(path.with_suffix(".lock"), wait=False):
                self._store.check_room(size - self.num_received(project, digest), "This upload")
                path.touch(mode=0o600)
                yield path
        except BlockingIOError:
            raise Conflict(f"Another request uploads {digest} at this moment. Wait until it has ended.") from None

    def check(self, project: str, digest: str, endpoint: str) -> Path:
        """Return the path of a complete upload. `endpoint`: where it is uploaded, for messages.

        Raises NotFound for one that hasn't arrived, and BadRequest, and removes it, where it has another digest.
        """
        path = self.path(project, digest)
        if not path.is_file():
            raise NotFound(f"{digest} was not uploaded. PUT it to {endpoint}/{digest} first.", param="files")
        if (found := digest_of(path)) != digest:
            size = path.stat().st_size
            path.unlink()
            raise BadRequest(
                f"{size:,} bytes with {found} arrived instead of {digest}. Upload it again.", param="files"
            )
        return path

    @contextmanager
    def taken(self, project: str, digests: Mapping[str, str], endpoint: str) -> Iterator[Path]:
        """Move complete uploads into a folder, under the names that `digests` has for them, so that no request writes
        to them any more. Yields the folder, which is removed when the block ends.

        Raises what check() does, and Conflict where another request writes to one.
        """
        folder = self._folder / f"{secrets.token_hex(8)}.taken"
        folder.mkdir(mode=0o700, parents=True)
        try:
            for name, digest in digests.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self._take(project, digest, endpoint, target)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take(self, project: str, digest: str, endpoint: str, target: Path) -> None:
        try:
            with locked(self.path(project, digest).with_suffix(".lock"), wait=False):
                self.check(project, digest, endpoint).replace(target)
        except BlockingIOError:
            raise Conflict(f"Another request uploads {digest} at this moment. Wait until it has ended.") from None

    def remove(self, project: str, digest: str) -> None:
        """Remove an upload that is no longer needed."""
        self.path(project, digest).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove uploads that nobody went on with."""
        oldest = time.time() - KEEP_SECONDS
        for path in self._folder.glob("*.part"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
        for folder in self._folder.glob("*.taken"):  # Of a killed process.
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)
