"""Packed weights in a file, so that they are packed once and all replicas map the same memory.

    payload    the matrices as runner/packing.py plans them, at offset 0, so that huge pages are aligned
    footer     JSON: the layout's number, the key, the sources, the payload's length and SHA-256
    trailer    SHA-256 of the footer, its length, MAGIC

A file is written under a temporary name, synced, and renamed, by one process at a time; it is mapped read-only. Sizes,
footer and key are checked when it is opened, which detects torn writes and other versions. The payload's digest is
checked only by `llmos doctor`, since that reads all weights, which would delay the first token.

If the folder or the disk fails, the weights are packed into the process's own memory instead.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import msgspec
import numpy as np

from llmos.core.disk import reserve
from llmos.core.locks import locked
from llmos.core.progress import Progress
from llmos.engine import _native
from llmos.engine.runner.packing import PACKING, Memory, Plan, pack, pack_in_chunks
from llmos.engine.tensors import RawTensor

LAYOUT = 1
"""Version of the payload: its layout (csrc/matrix.h), and how values are rounded on their way into it."""

MAGIC = b"LLMOSPK1"
SPARE_BYTES = 256 << 20
"""Disk space that is left free: a packed file is a convenience, and must not fill the disk."""

_TRAILER = struct.Struct("<32sQ8s")
_MAX_FOOTER_BYTES = 1 << 24
_MADV_POPULATE_READ = 22
"""Since Linux 5.14. Python 3.11 has no constant for it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A model file that the weights were packed from, with what shows that it has not changed."""

    name: str
    path: str
    num_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, name: str, path: Path) -> "Source":
        stat = path.stat()
        return cls(name, str(path.absolute()), stat.st_size, stat.st_mtime_ns)

    @property
    def is_unchanged(self) -> bool:
        try:
            return Source.of(self.name, Path(self.path)) == self
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class PackedFile:
    """The footer of a packed file."""

    layout: int
    key: str
    sources: tuple[Source, ...]
    num_bytes: int
    sha256: str


class Damaged(Exception):
    """The file was not written completely, or was changed later."""


class PackedFolder:
    """The packed weights of one model in a folder. Runners take its pack() as their packer."""

    def __init__(self, folder: Path, files: Mapping[str, Path], progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._sources = tuple(Source.of(name, path) for name, path in sorted(files.items()))
        self.is_shared = False
        """The weights are in a file, which other replicas map as well."""

    def pack(self, plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool) -> Memory:
        """Return the mapped file, which is written first if there is none; or memory of this process if that fails."""
        key = _key(plan, self._sources)
        path = self._folder / f"{key}.packed"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            memory = self._open(path, key, plan)
            if memory is None:
                with locked(path.with_suffix(".lock")):
                    # Another process may have written it while we waited for the lock.
                    memory = self._open(path, key, plan)
                    if memory is None:
                        sweep(self._folder)
                        self._write(path, key, plan, tensors, pool)
                        memory = _map(path, plan.num_bytes)
        except OSError as error:
            reason = error.strerror or str(error)
            logger.warning("The weights are kept in this process's own memory: %s: %s.", self._folder, reason)
            return pack(plan, tensors, pool, self._progress)
        self.is_shared = True
        return memory

    def _open(self, path: Path, key: str, plan: Plan) -> Memory | None:
        try:
            found = read_footer(path)
            if (found.layout, found.key, found.num_bytes) != (LAYOUT, key, plan.num_bytes):
                raise Damaged("it has other weights than its name says")
            return _map(path, plan.num_bytes)
        except FileNotFoundError:
            return None
        except Damaged as error:
            logger.warning("The weights are packed again: %s: %s.", path, error)
            path.unlink(missing_ok=True)
            return None

    def _write(self, path: Path, key: str, plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool) -> None:
        temporary = path.with_suffix(".part")
        digest, num_done = hashlib.sha256(), 0
        try:
            with open(temporary, "wb", buffering=0, opener=_open_private) as file:
                # Reserve all of it first, so that a full disk is found before anything is packed.
                _reserve_room(file.fileno(), plan.num_bytes)
                for chunk in pack_in_chunks(plan, tensors, pool):
                    _write_all(file.fileno(), chunk.data)
                    digest.update(chunk.data)
                    num_done += len(chunk)
                    self._progress(PACKING, num_done, plan.num_bytes)
                assert num_done == plan.num_bytes, "the plan has gaps"
                footer = PackedFile(LAYOUT, key, self._sources, num_done, digest.hexdigest())
                _write_all(file.fileno(), memoryview(_footer_and_trailer(footer)))
                os.fsync(file.fileno())
            temporary.rename(path)
            _sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_footer(path: Path) -> PackedFile:
    """Return the file's footer. Raises Damaged, FileNotFoundError, or another OSError."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < _TRAILER.size:
            raise Damaged("it is cut short")
        digest, length, magic = _TRAILER.unpack(os.pread(file.fileno(), _TRAILER.size, size - _TRAILER.size))
        begin = size - _TRAILER.size - length
        if magic != MAGIC or length > _MAX_FOOTER_BYTES or begin < 0:
            raise Damaged("it is cut short, or not a packed file")
        text = os.pread(file.fileno(), length, begin)
    if hashlib.sha256(text).digest() != digest:
        raise Damaged("its footer was changed")
    try:
        fields = json.loads(text)
        found = PackedFile(sources=tuple(Source(*each) for each in fields.pop("sources")), **fields)
        msgspec.convert(asdict(found), PackedFile)  # Checks the types.
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.ValidationError):
        raise Damaged("another version of LLMOS has written it") from None
    if found.num_bytes != begin:
        raise Damaged("its payload has another length")
    return found


def verify(path: Path) -> str | None:
    """Read the whole file; return what is wrong with it, or None. Raises OSError."""
    try:
        footer = read_footer(path)
    except Damaged as error:
        return str(error)
    digest, left = hashlib.sha256(), footer.num_bytes
    with path.open("rb", buffering=0) as file:
        while left and (data := file.read(min(left, 1 << 22))):
            digest.update(data)
            left -= len(data)
    return None if not left and digest.hexdigest() == footer.sha256 else "its payload was changed"


def packed_files(folder: Path) -> Iterator[tuple[Path, PackedFile | None]]:
    """Yield the folder's packed files; None for one that is damaged."""
    for path in sorted(folder.glob("*.packed")):
        with contextlib.suppress(FileNotFoundError):
            try:
                yield path, read_footer(path)
            except Damaged:
                yield path, None


def sweep(folder: Path) -> list[Path]:
    """Remove and return unusable files: damaged ones, those of another layout or of removed or changed sources, and
    partial ones of killed processes. Replicas that have a file mapped keep their mapping."""
    unusable = [
        path
        for path, found in packed_files(folder)
        if found is None or found.layout != LAYOUT or not all(source.is_unchanged for source in found.sources)
    ]
    for path in folder.glob("*.part"):
        with contextlib.suppress(BlockingIOError), locked(path.with_suffix(".lock"), wait=False):
            unusable.append(path)
            path.unlink(missing_ok=True)
    for path in unusable:
        path.unlink(missing_ok=True)
    return unusable


def _key(plan: Plan, sources: Sequence[Source]) -> str:
    identity = [LAYOUT, [astuple(source) for source in sources], [astuple(placement) for placement in plan.placements]]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def _map(path: Path, num_bytes: int) -> Memory:
    """Return the payload, read-only and in memory."""
    with path.open("rb", buffering=0) as file:
        mapped = mmap.mmap(file.fileno(), num_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    if sys.platform == "linux":
        # Both are optional: an older kernel, or a file system without large folios, maps small pages on first access.
        with contextlib.suppress(OSError):
            mapped.madvise(mmap.MADV_HUGEPAGE)
        with contextlib.suppress(OSError):
            mapped.madvise(_MADV_POPULATE_READ)
    return np.frombuffer(mapped, np.uint8)


def _reserve_room(handle: int, num_bytes: int) -> None:
    room = os.fstatvfs(handle)
    if room.f_bavail * room.f_frsize < num_bytes + SPARE_BYTES:
        raise OSError(
            0, f"the disk has {room.f_bavail * room.f_frsize:,} bytes left, and packed weights take {num_bytes:,}"
        )
    with contextlib.suppress(OSError):  # a file system that can't reserve space fails at the write instead
        reserve(handle, num_bytes)


def _write_all(handle: int, left: memoryview) -> None:
    while left:
        left = left[os.write(handle, left) :]


def _footer_and_trailer(footer: PackedFile) -> bytes:
    text = json.dumps(asdict(footer) | {"sources": [astuple(source) for source in footer.sources]}).encode()
    return text + _TRAILER.pack(hashlib.sha256(text).digest(), len(text), MAGIC)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
