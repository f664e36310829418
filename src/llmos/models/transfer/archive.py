"""A version as one file, for machines without a network: a tar archive with its record first, then its files.

Nothing in it depends on when or where it was written: the same version gives the same bytes.
"""

import os
import secrets
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import msgspec

from llmos.core.errors import BadModelFile, Conflict, NotFound
from llmos.models.sources import Gathered, Progress
from llmos.models.store import Arrivals
from llmos.models.versions.records import Record, fields_of, read_record

RECORD = "llmos-version.json"
"""The archive's first member."""

_FOLDER = "files"
_MAX_RECORD_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 20


def write_archive(record: Record, files: Mapping[str, Path], path: Path, progress: Progress) -> None:
    """Write the archive, in one step. Raises Conflict where the file is there, NotFound where its folder isn't."""
    if path.exists():
        raise Conflict(f"{path} is there already. Remove it, or name another file.", param="path")
    if not path.parent.is_dir():
        raise NotFound(f"There is no folder {path.parent} to write {path.name} into. Make it first.", param="path")
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with tarfile.open(beside, "x", format=tarfile.PAX_FORMAT) as archive:
            text = msgspec.json.encode(record)
            archive.addfile(_member(RECORD, len(text)), BytesIO(text))
            for file in sorted(record.stored_files):
                progress(file.name, 0, file.size)
                with files[file.name].open("rb") as reader:
                    archive.addfile(_member(f"{_FOLDER}/{file.name}", file.size), reader)
                progress(file.name, file.size, file.size)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def is_archive(path: Path) -> bool:
    """Whether a file is what write_archive writes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(100).rstrip(b"\0") == RECORD.encode()


def read_archive(path: Path, arrivals: Arrivals, progress: Progress) -> Gathered:
    """Take the version out of the archive: only the files that its record lists, and none whose blob is here.

    Raises BadModelFile for an archive that is broken or holds less.
    """
    folder = arrivals.folder()
    try:
        with tarfile.open(path, "r:") as archive:
            record = _record(archive)
            wanted = {f"{_FOLDER}/{file.name}": file for file in record.stored_files}
            files = {}
            for member in archive:
                file = wanted.pop(member.name, None)
                if file is None or not member.isfile():
                    continue
                if (stored := arrivals.stored(file.digest, file.size)) is not None:
                    files[file.name] = stored
                    continue
                arrivals.check_room(member.size, file.name)
                target = files[file.name] = folder / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                reader = archive.extractfile(member)
                assert reader is not None, "it is a file"
                with reader, target.open("wb") as writer:
                    while chunk := reader.read(_CHUNK_BYTES):
                        writer.write(chunk)
                        progress(file.name, writer.tell(), file.size)
    except tarfile.TarError as error:
        raise BadModelFile(f"{path} is no whole archive ({error}). Copy it once more.", param="path") from None
    if wanted:
        names = ", ".join(file.name for file in wanted.values())
        raise BadModelFile(f"{path} lacks {names}. Copy it once more.", param="path")
    return Gathered(location=f"archive:{path.name}", files=files, record=fields_of(record))


def _record(archive: tarfile.TarFile) -> Record:
    member = archive.next()
    reader = archive.extractfile(member) if member and member.name == RECORD else None
    if member is None or reader is None or member.size > _MAX_RECORD_BYTES:
        raise BadModelFile(f"{archive.name!s} is no archive of a version: it doesn't begin with {RECORD}.")
    return read_record(reader.read())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o444
    return member
