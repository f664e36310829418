"""Archives: a version as one file, for machines without a network. A tar with the version's record, then its files.

An archive depends only on the version: writing it again gives the same bytes.
"""

import os
import secrets
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import msgspec

from llmos.core.errors import BadModelFile, Conflict, NotFound
from llmos.core.progress import Progress
from llmos.core.sources import Fetched
from llmos.core.store.staging import StagingArea
from llmos.models.versions.records import VersionRecord, fields_of, read_record

RECORD = "llmos-version.json"
"""The name of the archive's first member, the record."""

_FOLDER = "files"
_MAX_RECORD_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 20


def write_archive(record: VersionRecord, files: Mapping[str, Path], path: Path, progress: Progress) -> None:
    """Write the archive and then rename it to `path`, so that it is complete or absent.

    Raises Conflict where `path` exists, and NotFound where its folder doesn't.
    """
    if path.exists():
        raise Conflict(f"{path} exists. Remove it, or choose another file.", param="path")
    if not path.parent.is_dir():
        raise NotFound(f"The folder {path.parent} of {path.name} doesn't exist. Create it first.", param="path")
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with tarfile.open(temporary, "x", format=tarfile.PAX_FORMAT) as archive:
            text = msgspec.json.encode(record)
            archive.addfile(_member(RECORD, len(text)), BytesIO(text))
            for file in sorted(record.stored_files):
                progress(file.name, 0, file.size)
                with files[file.name].open("rb") as reader:
                    archive.addfile(_member(f"{_FOLDER}/{file.name}", file.size), reader)
                progress(file.name, file.size, file.size)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_archive(path: Path) -> bool:
    """Return whether the file is an archive that write_archive() wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(100).rstrip(b"\0") == RECORD.encode()


def read_archive(path: Path, staging: StagingArea, progress: Progress) -> Fetched:
    """Extract the files that the record lists, except those whose blobs are in the store.

    Raises BadModelFile for an archive that is broken or incomplete.
    """
    folder = staging.scratch_folder()
    try:
        with tarfile.open(path, "r:") as archive:
            record = _record(archive)
            remaining = {f"{_FOLDER}/{file.name}": file for file in record.stored_files}
            files = {}
            for member in archive:
                file = remaining.pop(member.name, None)
                if file is None or not member.isfile():
                    continue
                if (stored := staging.find_stored(file.digest, file.size)) is not None:
                    files[file.name] = stored
                    continue
                staging.check_room(member.size, file.name)
                target = files[file.name] = folder / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                reader = archive.extractfile(member)
                assert reader is not None, "members that are files have a reader"
                with reader, target.open("wb") as writer:
                    while chunk := reader.read(_CHUNK_BYTES):
                        writer.write(chunk)
                        progress(file.name, writer.tell(), file.size)
    except tarfile.TarError as error:
        raise BadModelFile(f"{path} is not a complete archive ({error}). Copy it again.", param="path") from None
    if remaining:
        names = ", ".join(file.name for file in remaining.values())
        raise BadModelFile(f"{path} lacks {names}. Copy it again.", param="path")
    return Fetched(location=f"archive:{path.name}", files=files, record=fields_of(record))


def _record(archive: tarfile.TarFile) -> VersionRecord:
    member = archive.next()
    reader = archive.extractfile(member) if member and member.name == RECORD else None
    if member is None or reader is None or member.size > _MAX_RECORD_BYTES:
        raise BadModelFile(f"{archive.name!s} is not an archive of a version: it doesn't begin with {RECORD}.")
    return read_record(reader.read())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o444
    return member
