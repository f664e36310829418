"""Bytes by their digest. Knows no names: which blob belongs to which model is the registry's business.

    store/
      blobs/sha256/<hex>       complete, verified, never rewritten
      incoming/<hex>.part      what has arrived so far; a later attempt goes on from there. Named after the digest, or,
                               where nobody knows that yet, after the location and the file's name
      incoming/<hex>.*/        a source's own scratch folder, while it fetches that file
      incoming/*.copy          a copy in the making
      incoming/*.making/       a version in the making
      damaged/<hex>            a blob that wasn't what its name says, set aside by the owner
      lock                     publishing (shared) excludes collecting (exclusive)

A blob appears under its name in one step, after its bytes are on the disk, so that a kill, a full disk or two pulls at
once leave a complete blob or none. A blob that a hard link shares with a file of the owner changes when the owner
writes into that file; verify() finds it.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from llmos.core.errors import BadModelFile, StoreFailed
from llmos.core.locks import locked

_CHUNK_BYTES = 1 << 20
_SCRATCH = ".making"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

OnBytes = Callable[[int], None]
"""Told how many bytes are done so far."""


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """One file of a Version: its name in the model's folder, and the blob that holds it."""

    name: str
    digest: str
    """sha256:<hex>"""
    size: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A blob that is not what its name says, and why."""

    digest: str
    reason: str


class Arrivals:
    """Where the files of one location arrive."""

    def __init__(self, store: "Store", beginning: Path) -> None:
        self._store, self._beginning = store, beginning

    def part(self, key: str) -> Path:
        """Return the place of what `key` names within the location, the same one at every attempt."""
        return self._beginning.with_name(
            f"{self._beginning.name[:32]}{hashlib.sha256(key.encode()).hexdigest()[:32]}.part"
        )

    def folder(self) -> Path:
        """Return an empty scratch folder. Nothing in it outlives the attempt."""
        folder = self._beginning.with_name(f"{self._beginning.name}.scratch")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def stored(self, digest: str, size: int) -> Path | None:
        """Return where a blob lies that needn't arrive any more."""
        return self._store.blob_path(digest) if self._store.has(digest, size) else None

    def sound(self, digest: str) -> Path | None:
        """The same, once its bytes have been read: where nobody looks at the digest again."""
        path = self._store.blob_path(digest)
        return path if path.is_file() and digest_of(path) == digest else None

    def check_room(self, needed_bytes: int, what: str) -> None:
        self._store.check_room(needed_bytes, what)

    def done(self) -> None:
        """Remove all that arrived: it is stored, or nobody wants it any more."""
        for path in self._beginning.parent.glob(f"{self._beginning.name[:32]}*.part"):
            path.unlink()
        shutil.rmtree(self._beginning.with_name(f"{self._beginning.name}.scratch"), ignore_errors=True)


class Store:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._blobs = path / "blobs" / "sha256"
        self._incoming = path / "incoming"
        self._damaged = path / "damaged"

    def blob_path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise BadModelFile(f"{digest!r} is not a digest; one reads sha256: and 64 hexadecimal digits.")
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str, size: int) -> bool:
        """Say whether the blob is there with all of its bytes. Reads no content: verify() does."""
        try:
            return self.blob_path(digest).stat().st_size == size
        except FileNotFoundError:
            return False

    @contextmanager
    def receiving(
        self, files: Collection[StoredFile], on_wait: Callable[[], None] | None = None
    ) -> Iterator[dict[StoredFile, Path]]:
        """Give the files that are not stored yet a place to arrive: {file: its .part path}.

        The places are ours alone until the block ends: another process that wants the same bytes waits here, is told
        so by `on_wait`, and then finds them stored. A .part keeps what an earlier attempt left in it.
        """
        with _disk_errors(self.path), ExitStack() as held:
            self._make_folders()
            parts: dict[StoredFile, Path] = {}
            # In one order everywhere, so that two processes never wait for each other.
            for file in sorted({file.digest: file for file in files}.values(), key=lambda file: file.digest):
                part = self._incoming / f"{file.digest.removeprefix('sha256:')}.part"
                held.enter_context(locked(part.with_suffix(".lock"), on_wait=on_wait))
                if not self.has(file.digest, file.size):
                    parts[file] = part
            yield parts

    @contextmanager
    def arriving(self, location: str, on_wait: Callable[[], None] | None = None) -> Iterator["Arrivals"]:
        """Give the files of a location, whose digests nobody knows yet, a place to arrive.

        As with receiving(), it is ours alone, and what has arrived is there again at the next attempt, until done().
        """
        with _disk_errors(self.path):
            self._make_folders()
            key = hashlib.sha256(location.encode()).hexdigest()
            with locked(self._incoming / f"{key}.lock", on_wait=on_wait):
                yield Arrivals(self, self._incoming / key)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty folder on the store's disk, gone when the block ends; what killed processes left goes first."""
        with _disk_errors(self.path):
            self._make_folders()
            for folder in self._incoming.glob(f"*{_SCRATCH}"):
                self._remove_abandoned(folder)
        folder = self._incoming / f"{secrets.token_hex(8)}{_SCRATCH}"
        with locked(folder.with_suffix(".lock")):
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder)

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Keep blobs that nobody refers to yet from being collected: publish, record who needs them, then leave."""
        with self._whole_store(fcntl.LOCK_SH):
            yield

    def publish(self, part: Path, file: StoredFile, on_bytes: OnBytes | None = None) -> None:
        """Turn a .part into the blob. Raises BadModelFile, and removes the part, where its bytes are the wrong ones."""
        size = part.stat().st_size
        digest = digest_of(part, on_bytes)
        if digest != file.digest:
            part.unlink()
            raise BadModelFile(
                f"{file.name} arrived with {size:,} bytes and {digest}, but {file.size:,} bytes and {file.digest} were"
                " promised. It was thrown away."
            )
        with _disk_errors(self.path):
            _make_durable(part)
            os.chmod(part, 0o444)
            os.replace(part, self.blob_path(file.digest))
            _make_durable(self._blobs)

    def add(self, source: Path, on_bytes: OnBytes | None = None) -> tuple[str, int]:
        """Store the bytes of a file as they are and return their digest and size.

        By hard link where the file system allows it, which takes no room, else by a copy.
        """
        with _disk_errors(self.path):
            self._make_folders()
            source = source.resolve(strict=True)
            before = _identity(source)
            digest, size = digest_of(source, on_bytes), source.stat().st_size
            if self.has(digest, size):
                return digest, size
            self._link_or_copy(source, digest)
            if _identity(source) != before:
                raise StoreFailed(f"{source} changed while it was imported. Import it again when nothing writes to it.")
        return digest, size

    def digests(self) -> Iterator[tuple[str, int]]:
        """Every blob's digest and size; one that is collected meanwhile is passed over."""
        for path in sorted(self._blobs.iterdir()) if self._blobs.exists() else []:
            with suppress(FileNotFoundError):
                if _DIGEST.fullmatch(f"sha256:{path.name}"):
                    yield f"sha256:{path.name}", path.stat().st_size

    def verify(self, digests: Collection[str], on_bytes: OnBytes | None = None) -> list[Problem]:
        """Read every one of these blobs whole and name those that are missing or not what their name says."""
        problems, num_done = [], 0
        for digest in digests:
            path = self.blob_path(digest)
            try:
                actual = digest_of(path, _further(num_done, on_bytes))
                num_done += path.stat().st_size
            except OSError as error:
                problems.append(Problem(digest, "is missing" if error.errno == errno.ENOENT else str(error.strerror)))
                continue
            if actual != digest:
                problems.append(Problem(digest, f"holds other bytes ({actual})"))
        return problems

    def collect(self, referenced: Callable[[], Collection[str]]) -> int:
        """Remove the blobs that nobody refers to, and return how many bytes that freed.

        `referenced` is asked while nobody publishes, so that a blob between arriving and being recorded is safe.
        """
        freed = 0
        with self._whole_store(fcntl.LOCK_EX):
            keep = set(referenced())
            for digest, size in list(self.digests()):
                if digest not in keep:
                    self.blob_path(digest).unlink()
                    freed += size
            self._sweep()
        return freed

    def set_aside(self, digests: Collection[str]) -> list[Path]:
        """Move blobs that are not what their names say out of the way, and return where they are: what is pulled or
        imported then takes their place. A blob that is sound stays."""
        moved = []
        with self._whole_store(fcntl.LOCK_EX):
            for problem in self.verify(digests):
                blob = self.blob_path(problem.digest)
                if blob.exists():
                    self._damaged.mkdir(exist_ok=True)
                    os.replace(blob, self._damaged / blob.name)
                    moved.append(self._damaged / blob.name)
        return moved

    def unfinished(self) -> list[tuple[Path, int]]:
        """Downloads that broke off and wait to be resumed: path and bytes so far."""
        unfinished = []
        for path in sorted(self._incoming.glob("*.part")):
            with suppress(FileNotFoundError):  # it has just become whole
                unfinished.append((path, path.stat().st_size))
        return unfinished

    def num_received(self, digest: str) -> int:
        """Return how many bytes of a blob have arrived that isn't whole yet."""
        part = self._incoming / f"{self.blob_path(digest).name}.part"
        return part.stat().st_size if part.exists() else 0

    def free_bytes(self) -> int:
        self._make_folders()
        stats = os.statvfs(self.path)
        return stats.f_bavail * stats.f_frsize

    def check_room(self, needed_bytes: int, what: str) -> None:
        """Raise StoreFailed, with the arithmetic, where `needed_bytes` more will not fit on the disk."""
        with _disk_errors(self.path):
            free = self.free_bytes()
        if needed_bytes > free:
            raise StoreFailed(
                f"{what} needs {needed_bytes:,} bytes in {self.path}, and {free:,} are free there."
                f" Free {needed_bytes - free:,} more, or choose another LLMOS_HOME."
            )

    def _link_or_copy(self, source: Path, digest: str) -> None:
        """Give the blob the bytes of `source`, in one step, whatever is in its place."""
        blob, beside = self.blob_path(digest), self._incoming / f"{secrets.token_hex(8)}.copy"
        try:
            try:
                os.link(source, beside)
            except OSError:
                # Another file system, one without links, or a file that isn't ours to link (fs.protected_hardlinks).
                self._copy(source, beside, digest)
            _make_durable(beside)
            os.replace(beside, blob)
        finally:
            # Still there after a failure, and after a rename between two links of one file, which does nothing.
            beside.unlink(missing_ok=True)
        _make_durable(self._blobs)

    def _copy(self, source: Path, copy: Path, digest: str) -> None:
        self.check_room(source.stat().st_size, f"A copy of {source.name}")
        seen = hashlib.sha256()
        with source.open("rb") as reader, copy.open("xb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                seen.update(chunk)
                writer.write(chunk)
        if f"sha256:{seen.hexdigest()}" != digest:
            raise StoreFailed(f"{source} changed while it was imported. Import it again when nothing writes to it.")
        os.chmod(copy, 0o444)

    def _sweep(self) -> None:
        """Remove what processes left that died: copies, scratch folders, locks. Parts stay, for the next attempt."""
        for path in list(self._incoming.iterdir()):
            if path.suffix == ".copy":
                path.unlink()  # copies are made while publishing, and nobody is
            elif path.suffix == ".lock" or path.is_dir():
                self._remove_abandoned(path)

    def _remove_abandoned(self, path: Path) -> None:
        """Remove a folder, or a lock, unless a process holds the lock."""
        with suppress(BlockingIOError), locked(path.with_suffix(".lock"), wait=False):
            if path.is_dir():
                shutil.rmtree(path)

    def _make_folders(self) -> None:
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _whole_store(self, mode: int) -> Iterator[None]:
        with _disk_errors(self.path):
            self._make_folders()
            with locked(self.path / "lock", mode, keep=True):
                yield


def digest_of(path: Path, on_bytes: OnBytes | None = None) -> str:
    """Return sha256:<hex> of a file's content."""
    seen, done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            seen.update(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done)
    return f"sha256:{seen.hexdigest()}"


def _further(num_done: int, on_bytes: OnBytes | None) -> OnBytes | None:
    return None if on_bytes is None else lambda num_bytes: on_bytes(num_done + num_bytes)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Say what to do about a disk that says no."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFailed(
                f"The disk of {path} is full. What arrived so far is kept and will be resumed:"
                " free some room and try again, or choose another LLMOS_HOME."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreFailed(
                f"{error.filename or path} can't be written or read: {error.strerror}. Check who owns it."
            ) from error
        raise


def _make_durable(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _identity(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
