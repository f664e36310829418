"""SourceDocument: a file that becomes a document, with its name and what is said about it. Finds those in a folder."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.names import check_file_name
from llmos.core.schemas.knowledge import MetadataValue

MAX_METADATA = 16
"""The most fields of a document's metadata, the longest key and the longest text, the same as OpenAI's."""
MAX_KEY = 64
MAX_VALUE = 512

_MAX_INTEGER = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDocument:
    name: str
    """The name: a relative path, whose suffix decides between kinds of text."""
    path: Path | None
    """The file; None if another document of the project has the same content, which is used."""
    digest: str | None = None
    """sha256:<hex> of the file, where there is no path."""
    metadata: Mapping[str, MetadataValue] | None = None
    """None: that of the document that it replaces, if there is one."""
    subject: str | None = None
    """The person that it is about, as a keyed hash. None: that of the document that it replaces."""


def find_documents(
    path: Path, *, metadata: Mapping[str, MetadataValue] | None = None, subject: str | None = None
) -> Sequence[SourceDocument]:
    """Return the documents in a folder and its folders, by name, or the file. Raises BadRequest where there are none.

    Hidden files, and those whose names end in no suffix of a document, are left out.
    """
    if path.is_file():
        return [SourceDocument(name=path.name, path=path, metadata=metadata, subject=subject)]
    if not path.is_dir():
        raise BadRequest(f"There is no file or folder {path}.", param="path")
    found = [
        SourceDocument(name=name, path=path / name, metadata=metadata, subject=subject) for name in _names_in(path)
    ]
    if not found:
        raise BadRequest(f"There are no documents in {path}: no name ends in {', '.join(_suffixes())}.", param="path")
    return found


def is_document_name(name: str) -> bool:
    """Return whether a name ends in the suffix of a document."""
    return PurePosixPath(name).suffix.lower() in _suffixes()


def check_sources(sources: Sequence[SourceDocument]) -> None:
    """Raise BadRequest for a name that is invalid or there twice, and for metadata that can't be kept."""
    names: set[str] = set()
    for source in sources:
        check_file_name(source.name)
        if source.name in names:
            raise BadRequest(f"Two documents are called {source.name}. Give each a name of its own.", param="files")
        names.add(source.name)
        check_metadata(source.metadata or {})


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raise BadRequest for metadata that can't be kept."""
    if len(metadata) > MAX_METADATA:
        raise BadRequest(f"A document has at most {MAX_METADATA} fields of metadata.", param="metadata")
    for key, value in metadata.items():
        if not key or len(key) > MAX_KEY or not key.isprintable():
            raise BadRequest(f"{key!r:.80} is no key of metadata: use 1 to {MAX_KEY} characters.", param="metadata")
        _check_value(key, value)


def _check_value(key: str, value: Any) -> None:
    if isinstance(value, str):
        if len(value) > MAX_VALUE or not _has_utf8(value):
            raise BadRequest(f"The metadata {key} takes a text of at most {MAX_VALUE} characters.", param="metadata")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadRequest(f"The metadata {key} must be a finite number.", param="metadata")
    elif isinstance(value, int):
        if abs(value) >= _MAX_INTEGER:
            raise BadRequest(f"The metadata {key} must be less than 2^53. Write larger ones as text.", param="metadata")
    else:
        raise BadRequest(f"The metadata {key} must be a text, a number, true or false.", param="metadata")


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_hidden = any(part.startswith(".") for part in name.split("/"))
        if not is_hidden and is_document_name(name) and path.is_file():
            yield name


@cache
def _suffixes() -> list[str]:
    from llmos.data.documents.parsers import parsers  # imports what they parse with

    return sorted(suffix for parser in parsers().values() for suffix in parser.SUFFIXES)
