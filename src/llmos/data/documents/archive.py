"""Archives of DOCX and XLSX, checked before a library unpacks them: bombs, encryption, entities in XML."""

import io
import zipfile
import zlib

from llmos.core.errors import BadDocument

MAX_UNPACKED_BYTES = 256 << 20
"""The most bytes that all files of an archive have together. Libraries hold one of them at a time."""

MAX_FILES = 10_000

_CHUNK_BYTES = 1 << 16
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")
_LONGEST = max(map(len, _DECLARATIONS)) - 1


def check_archive(content: bytes) -> zipfile.ZipFile:
    """Return the archive, each of whose files was unpacked once. Raises BadDocument for a broken or hostile one."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
        if len(entries) > MAX_FILES:
            raise BadDocument(f"It has {len(entries):,} files in it; the limit is {MAX_FILES:,}.")
        unpacked = 0
        for entry in entries:
            if entry.flag_bits & 1:
                raise BadDocument("It is encrypted. Save it without a password first.")
            unpacked += _check_entry(archive, entry, MAX_UNPACKED_BYTES - unpacked)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise BadDocument(f"Its archive is broken: {error}.") from None
    return archive


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> int:
    """Return the bytes of a file. Raises BadDocument for more of them, and for XML that declares entities."""
    num_bytes, end = 0, b""
    is_xml = entry.filename.endswith((".xml", ".rels"))
    with archive.open(entry) as file:
        while chunk := file.read(_CHUNK_BYTES):
            num_bytes += len(chunk)
            if num_bytes > max_bytes:
                raise BadDocument(f"It unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB, the limit.")
            # Office programs write no declarations. Entities that expand into each other ("billion laughs") fill any
            # memory.
            if is_xml and any(each in end + chunk for each in _DECLARATIONS):
                raise BadDocument("Its XML declares entities, which no office program writes. It may be hostile.")
            end = chunk[-_LONGEST:]
    return num_bytes


def names_in(content: bytes) -> frozenset[str]:
    """Return the names of the files of an archive; none for a broken one."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return frozenset(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return frozenset()
