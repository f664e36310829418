"""The store: files by the digest of their content (blobs). Knows no models and no datasets, which know their blobs.

    store/
      blobs/sha256/<hex>       complete, verified, never rewritten
      blobs/sha256/<hex>.sealed
                               an encrypted blob (core/encryption/sealed_file.py), named after the digest of its plain
                               bytes; the plain blob is deleted once this is on the disk
      blobs/hmac/<hex>.sealed  an encrypted blob of a project, named after an HMAC of the project and that digest
      incoming/<hex>.part      a partial download, which a later attempt resumes; named after the digest, or after the
                               location and the file's name where the digest is not known (see staging.py)
      incoming/<hex>.*/        a source's scratch folder for that file
      incoming/*.copy          a copy that is being written
      incoming/*.making/       the scratch folder of a version that is being derived
      damaged/<hex>            a blob whose content didn't match its name, moved here by the owner
      lock                     held shared while publishing, exclusive while collecting

A blob is renamed to its name after its bytes are on the disk. A kill, a full disk or two concurrent pulls therefore
leave a complete blob or none; a kill while a blob is encrypted leaves the plain one, the encrypted one, or both. Then
the encrypted one counts. A plain blob may be a hard link to a file of the owner, and changes when the owner writes to
that file; verify() detects this.
"""

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmos.core.byte_progress import OnBytes
from llmos.core.disk import sync_to_disk
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_path import SealedPath, plain_size
from llmos.core.errors import BadModelFile, LLMOSError, NotFound, StoreFailed
from llmos.core.store.blob_files import CHUNK_BYTES, digest_of, disk_errors, identity, seal_file, shifted, write_whole
from llmos.core.store.blob_keys import BlobKeys
from llmos.core.store.blobs import Problem, StagedBlob, StoredFile
from llmos.core.store.incoming_files import IncomingFiles

_MAX_HELD_BYTES = 16 << 20
"""Encrypted files up to this size are decrypted once, into memory, when they are added."""


class Store(IncomingFiles):
    """A store in one folder. Any thread and any process may use it."""

    def __init__(
        self,
        path: Path,
        keys: BlobKeys | None = None,
        *,
        encrypts: Callable[[], bool] = lambda: False,
        project: str | None = None,
    ) -> None:
        """`keys`: of encrypted blobs; None for a store without any. `encrypts`: whether new blobs are encrypted.
        `project`: the one that new blobs belong to; None for blobs of this machine."""
        super().__init__(path, encrypts=encrypts)
        self._keys, self._project = keys, project

    def encrypting(self) -> "Store":
        """Return this store, which encrypts all blobs that are added through it."""
        return Store(self.path, self._keys, encrypts=lambda: True, project=self._project)

    def of_project(self, project: str) -> "Store":
        """Return this store for what a project keeps: the rows of datasets, the files of knowledge.

        own = store.of_project("acme")
        with own.publishing():
            blob, size = own.add(path)      # "hmac:<hex>", which the database keeps in place of a digest
        store.blob_path(blob).open("rb")    # its plain bytes, through any store with the same keys

        What is added through it is encrypted under a key of the project, always, and so are the files in its scratch().
        Its name depends on the project and the content, so that each project has blobs of its own: their names tell
        nobody what they have, and none can be read any more once the project's keys are destroyed. All that takes a
        digest takes such a name, except what names files by their digest before they arrive: receiving(), publish()
        and seal().

        The path of a blob is a SealedPath. What opens a file by itself, without Python, needs another way:

            SQLite    connection.deserialize(path.read_bytes()); it can't open a memfd by its path
            duckdb    lend_files() of data/datasets/sealed_sources.py
            others    path.open_sealed().read_range(begin, end), or read_bytes() for all of it
        """
        return Store(self.path, self._keys, encrypts=lambda: True, project=project)

    def blob_path(self, digest: str) -> Path:
        """Return the path of a blob, whether it exists or not; that of an encrypted one is a SealedPath.

        Raises BadModelFile for an invalid digest.
        """
        if digest.startswith("hmac:"):
            return SealedPath.of(self._sealed_path(digest), lambda: self._key_finder().find(digest))
        sealed = self._sealed_path(digest)
        return (
            SealedPath.of(sealed, lambda: self._key_finder().find(digest)) if sealed.exists() else self._plain(digest)
        )

    def has(self, digest: str, size: int) -> bool:
        """Return whether the blob exists and has this size. Does not read its content; verify() does."""
        try:
            return plain_size(self.blob_path(digest)) == size
        except FileNotFoundError:
            return False

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Keep collect() from deleting new blobs until the block ends. Publish them and record their version in it."""
        with self._store_lock(fcntl.LOCK_SH):
            yield

    def publish(self, part: Path, file: StoredFile, on_bytes: OnBytes | None = None) -> None:
        """Verify a .part and make it the blob, encrypted if the store encrypts new blobs.

        Raises BadModelFile, and deletes the part, for a wrong digest.
        """
        assert self._project is None, "see of_project()"
        size, encrypts = part.stat().st_size, self.encrypts()
        with disk_errors(self.path):
            digest = self._write_sealed(part, file.digest, on_bytes) if encrypts else digest_of(part, on_bytes)
        if encrypts or digest != file.digest:
            part.unlink()
        if digest != file.digest:
            raise BadModelFile(
                f"{file.name} arrived with {size:,} bytes and {digest}; expected were {file.size:,} bytes and"
                f" {file.digest}. It was deleted."
            )
        if encrypts:
            return
        with disk_errors(self.path):
            sync_to_disk(part)
            os.chmod(part, 0o444)
            blob = self.blob_path(file.digest)
            os.replace(part, blob)
            sync_to_disk(blob.parent)

    def add(self, source: Path, on_bytes: OnBytes | None = None) -> tuple[str, int]:
        """Add a file to the store and return its digest, or its name in the project, and its size in bytes.

        The blob is a hard link where the file system allows it, which needs no space, else a copy; an encrypted copy if
        the store encrypts new blobs, or the source is encrypted. Raises StoreFailed for a full disk, and where the file
        changes meanwhile.
        """
        with disk_errors(self.path):
            self._make_folders()
            if isinstance(source, SealedPath) and plain_size(source) <= _MAX_HELD_BYTES:
                source = source.held()
            elif not isinstance(source, SealedPath):
                source = source.resolve(strict=True)
            before = identity(source)
            digest, size = self._named(digest_of(source, on_bytes)), plain_size(source)
            if self.has(digest, size):
                return digest, size
            is_changed = False
            if self.encrypts() or isinstance(source, SealedPath):
                is_changed = self._write_sealed(source, digest) != digest
            else:
                self._link_or_copy(source, digest)
            if is_changed or identity(source) != before:
                raise StoreFailed(
                    f"{source} changed while it was imported. Import it again when no program writes to it."
                )
        return digest, size

    def stage(self, content: bytes, folder: Path) -> StagedBlob:
        """Write content to a folder of scratch(), as its blob will be, and wait until it is on the disk.

        Nothing is in the store before add_staged(), which has little left to do: stage() is slow, and holds no lock.
        """
        digest = self._named(f"sha256:{hashlib.sha256(content).hexdigest()}")
        if self.has(digest, len(content)):
            return StagedBlob(digest=digest, size=len(content))
        path = Path(folder) / f"{secrets.token_hex(8)}.copy"
        key = self._key_finder().find_or_make(digest, self._project) if self.encrypts() else None
        with disk_errors(self.path):
            write_whole(content, path, key)
        return StagedBlob(digest=digest, size=len(content), path=path, key=key)

    def add_staged(self, staged: StagedBlob) -> None:
        """Make staged content a blob. Call it inside publishing().

        Raises StoreFailed where the blob that was there, or its key, was removed since it was staged.
        """
        if staged.path is None or not self._is_kept(staged.digest, staged.key):
            if self.has(staged.digest, staged.size):
                return
            raise StoreFailed("Content that this shares with something else was removed meanwhile. Try again.")
        blob = self._plain(staged.digest) if staged.key is None else self._sealed_path(staged.digest)
        with disk_errors(self.path):
            os.replace(staged.path, blob)
            sync_to_disk(blob.parent)

    def seal(self, digest: str, on_bytes: OnBytes | None = None) -> bool:
        """Encrypt a blob. Return False for one that is encrypted already. Call it inside publishing().

        A kill at any moment loses nothing: the next call continues. Raises BadModelFile for a blob that is missing or
        damaged, and StoreFailed for a full disk; the blob stays as it was then.
        """
        plain = self._plain(digest)
        with disk_errors(self.path):
            if self.is_encrypted(digest):
                plain.unlink(missing_ok=True)  # A process was killed before it deleted it.
                return False
            if not plain.exists():
                raise BadModelFile(f"{digest} is missing. Run: llmos doctor --store")
            if self._write_sealed(plain, digest, on_bytes) != digest:
                raise BadModelFile(f"{digest} is damaged, and was not encrypted. Run: llmos doctor --store")
        return True

    def digests(self) -> Iterator[tuple[str, int]]:
        """Yield the digest and the plain size of every blob. Skips blobs that are deleted meanwhile."""
        for digest in self._names():
            with suppress(FileNotFoundError):
                yield digest, plain_size(self.blob_path(digest))

    def verify(self, digests: Collection[str], on_bytes: OnBytes | None = None) -> list[Problem]:
        """Read these blobs and return those that are missing or whose content doesn't match the digest."""
        problems, num_done = [], 0
        for digest in digests:
            path = self.blob_path(digest)
            try:
                actual = digest_of(path, shifted(on_bytes, num_done))
                num_done += plain_size(path)
            except OSError as error:
                problems.append(Problem(digest, "is missing" if error.errno == errno.ENOENT else str(error.strerror)))
                continue
            except LLMOSError as error:  # It is encrypted, and was modified or can't be decrypted.
                problems.append(Problem(digest, f"can't be decrypted: {error.message}"))
                continue
            # A blob that is named by an HMAC is bound to its name by the encryption of each chunk.
            if actual != digest and not digest.startswith("hmac:"):
                problems.append(Problem(digest, f"holds other bytes ({actual})"))
        return problems

    def collect(self, referenced: Callable[[], Collection[str]]) -> int:
        """Delete the blobs that are not referenced, destroy the keys of encrypted ones, and return the number of bytes
        freed.

        `referenced` returns the digests to keep. It is called while no process publishes, so blobs that are not
        recorded yet are safe.
        """
        freed, unsealed = 0, []
        with self._store_lock(fcntl.LOCK_EX):
            keep = set(referenced())
            for digest, size in list(self.digests()):
                if digest not in keep:
                    if self.is_encrypted(digest):
                        unsealed.append(digest)
                        self._sealed_path(digest).unlink()
                    if plain := self._plain_beside(digest):
                        plain.unlink(missing_ok=True)
                    freed += size
            if self._keys is not None:
                self._keys.destroy(unsealed, keep)
            self._sweep()
        return freed

    def discard_encrypted(self) -> list[str]:
        """Delete the encrypted blobs, whose keys are lost, and return their digests."""
        with self._store_lock(fcntl.LOCK_EX):
            found = [digest for digest, _ in self.digests() if self.is_encrypted(digest)]
            for digest in found:
                self._sealed_path(digest).unlink()
        return found

    def set_aside(self, digests: Collection[str]) -> list[Path]:
        """Move damaged blobs to the folder `damaged`, so that a pull or import can replace them, and return their new
        paths. Blobs that are intact stay."""
        moved = []
        with self._store_lock(fcntl.LOCK_EX):
            for problem in self.verify(digests):
                blob = self.blob_path(problem.digest)
                if blob.exists():
                    self._damaged.mkdir(exist_ok=True)
                    os.replace(blob, self._damaged / blob.name)
                    moved.append(self._damaged / blob.name)
        return moved

    def _named(self, digest: str) -> str:
        """Return the name of the blob with this digest: the digest, or an HMAC of it and the project."""
        return digest if self._project is None else self._key_finder().name(self._project, digest)

    def _key_finder(self) -> BlobKeys:
        if self._keys is None:
            raise StoreFailed(f"{self.path} has encrypted files, and was opened without the keys of this installation.")
        return self._keys

    def _is_kept(self, digest: str, key: DataKey | None) -> bool:
        """Return whether a key, if there is one, is still that of the blob."""
        if key is None:
            return True
        try:
            return self._key_finder().find(digest) == key
        except (NotFound, StoreFailed):
            return False

    def _write_sealed(self, source: Path, digest: str, on_bytes: OnBytes | None = None) -> str:
        """Create the encrypted blob from a file with the plain bytes, and delete the plain blob.

        Return the digest of the file. If it is another one, nothing has changed.
        """
        size, sealed = plain_size(source), self._sealed_path(digest)
        key = self._key_finder().find_or_make(digest, self._project)
        self.check_room(size, f"An encrypted copy of {source.name}")
        temporary = self._incoming / f"{secrets.token_hex(8)}.copy"
        try:
            actual = self._named(seal_file(source, temporary, key, on_bytes))
            if actual != digest:
                return actual
            os.replace(temporary, sealed)
        finally:
            temporary.unlink(missing_ok=True)
        sync_to_disk(sealed.parent)
        if plain := self._plain_beside(digest):
            plain.unlink(missing_ok=True)
            sync_to_disk(plain.parent)
        return digest

    def _link_or_copy(self, source: Path, digest: str) -> None:
        """Create or replace the blob in one step, as a hard link to `source` or a copy."""
        blob, temporary = self.blob_path(digest), self._incoming / f"{secrets.token_hex(8)}.copy"
        try:
            try:
                os.link(source, temporary)
            except OSError:
                # Another file system, one without hard links, or a file of another user (fs.protected_hardlinks).
                self._copy(source, temporary, digest)
            sync_to_disk(temporary)
            os.replace(temporary, blob)
        finally:
            # The file remains after a failure, and also after a rename between two links of one file, a no-op.
            temporary.unlink(missing_ok=True)
        sync_to_disk(blob.parent)

    def _copy(self, source: Path, copy: Path, digest: str) -> None:
        self.check_room(source.stat().st_size, f"A copy of {source.name}")
        hashing = hashlib.sha256()
        with source.open("rb") as reader, copy.open("xb") as writer:
            while chunk := reader.read(CHUNK_BYTES):
                hashing.update(chunk)
                writer.write(chunk)
        if f"sha256:{hashing.hexdigest()}" != digest:
            raise StoreFailed(f"{source} changed while it was imported. Import it again when no program writes to it.")
        os.chmod(copy, 0o444)
