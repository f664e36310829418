"""Formats of files: JSON Lines, JSON, CSV and TSV, Parquet, Arrow, plain text, and documents such as PDF, each as it is
or compressed by gzip or zstd.

Reading a file gives its records one after the other, in bounded memory. A record is the JSON of one line (bytes), or a
dict; BadRecord where there is none. Every public module in this package is a format, found by its file name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from pkgutil import iter_modules
from typing import Any

from llmos.core.errors import BadRequest

MAX_RECORD_BYTES = 16 << 20
"""The most bytes of one record."""

COMPRESSIONS = (".gz", ".zst")

MANIFEST_SUFFIX = ".llmos.json"
"""The end of the name of the file beside a file, with the manifest of the version that it is."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A place in a file that holds no record."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileReport:
    """The reader's report about a whole document, behind its records."""

    found_characters: int
    """Letters and digits that the file has as text."""
    kept_characters: int
    """The part of these characters that its records have."""
    left_out: Mapping[str, int]
    """{what: how many}, such as images."""
    notes: Sequence[str]


Records = Iterator[tuple[int, bytes | Mapping[str, Any] | BadRecord | FileReport]]
"""(number of the line or record, from 1 on, or 0 for the whole file; the record)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    suffixes: tuple[str, ...]
    read: Callable[[Path, str], Records]
    """read(path, name): the file's records; `name` has its suffixes. Raises BadRequest for a file that isn't one."""
    is_document: bool = False
    """The files are written for people; each record is a text."""


@cache
def formats() -> Mapping[str, Format]:
    """Return every format by its suffix."""
    modules = [import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__) if each.name[0] != "_"]
    return {suffix: module.FORMAT for module in modules for suffix in module.FORMAT.suffixes}


def plain_name(name: str) -> str:
    """Return a file's name without the suffix of its compression: its rows have the same origin either way."""
    return name.removesuffix(".gz").removesuffix(".zst")


def suffix_of(name: str) -> str:
    """Return the suffix of a file's format, in lower case; empty if it has none."""
    return PurePosixPath(plain_name(name)).suffix.lower()


def is_data_file(name: str) -> bool:
    """Return whether the name is that of a file that can be imported."""
    return suffix_of(name) in formats()


def is_document(name: str) -> bool:
    """Return whether the name is that of a document for people, such as a PDF."""
    found = formats().get(suffix_of(name))
    return found is not None and found.is_document


def read_records(path: Path, name: str, *, beside_documents: bool = False) -> Records:
    """Yield the records of a file. Raises BadRequest for a file in no known format, or that isn't in its format.

    `beside_documents`: the file is one of several, some of which are documents, so that a text is a document too.
    """
    found = formats().get(suffix_of(name))
    if beside_documents and suffix_of(name) == ".txt":
        found = next(each for each in formats().values() if each.is_document)
    if found is None:
        raise BadRequest(
            f"{name} has no suffix of a known format. Rename it: {', '.join(sorted(formats()))}, each with"
            f" {' or '.join(COMPRESSIONS)} behind it if it is compressed.",
            param="path",
        )
    return found.read(path, name)
