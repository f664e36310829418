"""The files of an application: which of a folder belong to it, and the archive in which they are sent.

The archive is a tar file, uncompressed, of plain files with names relative to the folder.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from llmos.core.errors import BadRequest
from llmos.core.names import check_file_name

FILE_NAME = "app.yaml"

MAX_FILES = 2_000
MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_BYTES = 256 * 1024 * 1024
"""The limit of all files together."""
MAX_ARCHIVE_BYTES = MAX_BYTES + MAX_FILES * 4 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE

_LEFT_OUT = ("__pycache__", "node_modules")


def is_part(name: str) -> bool:
    """Return whether a path belongs to an application: hidden files, __pycache__ and node_modules don't."""
    return not any(part.startswith(".") or part in _LEFT_OUT for part in PurePosixPath(name).parts)


def files_in(folder: Path) -> list[Path]:
    """Return the files that belong to the application in a folder, relative to it, in order.

    Raises BadRequest for a folder without app.yaml, a link that leads out of the folder, what is no file, and more or
    larger files than allowed.
    """
    if not (folder / FILE_NAME).is_file():
        raise BadRequest(f"There is no {FILE_NAME} in {folder}. `llmos app init` makes a folder with one.")
    found: list[Path] = []
    size, root = 0, folder.resolve()
    for path in _walk(folder):
        if not path.resolve().is_relative_to(root):
            raise BadRequest(f"{path} is a link that leads out of the folder. Copy the file instead.")
        if not path.is_file():
            raise BadRequest(f"{path} is neither a file nor a folder. Remove it.")
        num_bytes = path.stat().st_size
        size += num_bytes
        found.append(path.relative_to(folder))
        check_limits(len(found), num_bytes, size, str(path))
    return sorted(found)


def check_limits(num_files: int, file_bytes: int, num_bytes: int, where: str) -> None:
    """Raise BadRequest for more or larger files than an application may have. `where`: the last file."""
    if file_bytes > MAX_FILE_BYTES or num_bytes > MAX_BYTES or num_files > MAX_FILES:
        raise BadRequest(
            f"The application is too large at {where}: {MAX_FILES:,} files, {MAX_FILE_BYTES >> 20} MB each and"
            f" {MAX_BYTES >> 20} MB together are allowed. Put documents into knowledge: `llmos knowledge add`.",
            param="files",
        )


def pack_folder(folder: Path) -> bytes:
    """Return the archive of an application's folder. Raises BadRequest as files_in(), and for an unreadable file."""
    try:
        return b"".join(pack((str(name), (folder / name).read_bytes()) for name in files_in(folder)))
    except OSError as error:
        raise BadRequest(f"{error.filename} can't be read: {error.strerror}.", param="files") from None


def pack(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield the archive of some files, piece by piece. The same files give the same bytes."""
    for name, content in files:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        yield entry.tobuf(tarfile.PAX_FORMAT)
        yield content
        yield b"\0" * (-len(content) % tarfile.BLOCKSIZE)
    yield b"\0" * 2 * tarfile.BLOCKSIZE


def unpack(archive: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files in an archive that belong to the application.

    Raises BadRequest for what isn't such an archive, for links and devices, for a name that leads out of the folder or
    is there twice, and for more or larger files than allowed. Nothing is written to the disk.
    """
    seen: set[str] = set()
    size = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:") as members:
            for member in members:
                name = member.name.removeprefix("./")
                if member.isdir() or not is_part(name):
                    continue
                if not member.isreg() or member.issparse():
                    raise BadRequest(
                        f"{name!r:.200} in the archive isn't a regular file. Replace a link by a copy of its target."
                    )
                check_file_name(name)
                if name in seen:
                    raise BadRequest(f"{name!r:.200} is in the archive twice.")
                seen.add(name)
                size += member.size
                check_limits(len(seen), member.size, size, name)
                content = members.extractfile(member)
                assert content is not None, "it is a plain file"
                yield name, content.read()
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise BadRequest(f"The body isn't a tar archive of an application's folder: {error}.") from None


def unpack_into(archive: bytes, folder: Path) -> Path:
    """Write the files in an archive into a folder, which is made, and return it.

    Raises BadRequest for a folder that has files, and as unpack().
    """
    return write_files(unpack(io.BytesIO(archive)), folder)


def write_files(files: Iterable[tuple[str, bytes]], folder: Path) -> Path:
    """Write files into a folder, which is made, and return it. Raises BadRequest for a folder that has files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadRequest(f"{folder} has files. Choose a new folder.", param="folder")
        for name, content in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise BadRequest(f"{error.filename} can't be written: {error.strerror}.", param="folder") from None
    return folder


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not is_part(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path
