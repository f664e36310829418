"""Unpacked: the folders in which versions lie as plain files, for the processes that run them.

LLMOS_HOME/apps/            0700
  <hash>/                   a whole version, read-only; named after the project and the version's digest
  <hash>.unpacking/         one that is being unpacked; of a killed process, it is removed by the next one
  lock                      held while a folder is unpacked or removed
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.disk import sync_to_disk, write_all
from llmos.core.locks import locked

_UNPACKING = ".unpacking"


class Unpacked:
    """The folders of this machine. Any process may use them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def folder(self, project: str, digest: str) -> Path:
        """Return the folder of a version, whether it exists or not."""
        return self._path / _name(project, digest)

    def unpack(self, project: str, digest: str, files: Iterable[tuple[str, bytes]]) -> Path:
        """Return the folder of a version, which has these files. It is whole, or it isn't there."""
        target = self.folder(project, digest)
        if target.is_dir():
            return target
        with self._locked():
            if not target.is_dir():
                draft = target.with_name(f"{target.name}{_UNPACKING}")
                _remove(draft)
                _write(draft, files)
                os.rename(draft, target)
                sync_to_disk(self._path)
        return target

    def sweep(self, kept: Collection[tuple[str, str]]) -> None:
        """Remove the folders of all versions but these: (project, digest)."""
        if not self._path.is_dir():
            return
        names = {_name(project, digest) for project, digest in kept}
        with self._locked():
            for path in list(self._path.iterdir()):
                if path.is_dir() and path.name not in names:
                    _remove(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._path / "lock", keep=True):
            yield


def _name(project: str, digest: str) -> str:
    return hashlib.sha256(f"{project}\n{digest}".encode()).hexdigest()[:32]


def _write(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write the files into a new folder, wait until they are on the disk, and make all of it read-only."""
    folder.mkdir(mode=0o700)
    for name, content in files:
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
    for path in [*_folders(folder), folder]:
        sync_to_disk(path)
        path.chmod(0o500)


def _remove(folder: Path) -> None:
    """Remove a folder, which may be read-only."""
    if folder.exists():
        for path in [folder, *_folders(folder)]:
            path.chmod(0o700)
        shutil.rmtree(folder)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]
