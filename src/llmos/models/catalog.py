"""The models that can be had by name: where from, and which bytes are the right ones. catalog.toml holds them."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Self

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.models.names import check_file_name, check_name
from llmos.models.sources import kind_of
from llmos.models.store import StoredFile

_ENTRY_FIELDS = ("description", "license", "template", "sampling", "files", "sources")
_SOURCE_FIELDS = ("from", "folder", "files", "download_size")
_FILE_FIELDS = ("name", "sha256", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    location: str
    """kind:…, see models.sources."""
    folder: str
    """Where in the source the files lie; empty for its top."""
    files: tuple[StoredFile, ...]
    """What this source must bring, by digest."""
    download_size: int
    """Bytes that cross the wire: a wheel's size for pypi:, else that of the files."""

    def path_of(self, file: StoredFile) -> str:
        return f"{self.folder}/{file.name}" if self.folder else file.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    name: str
    description: str
    license: str
    template: str
    """"own": the chat template in the model's files. "none": the model doesn't chat."""
    sampling: Mapping[str, float]
    """What its makers, or we, recommend where the files don't say."""
    sources: tuple[Source, ...]
    """In the order in which they are tried."""


class Catalog:
    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read a catalog file, by default the one that LLMOS ships. Raises BadRequest that says what is wrong where."""
        try:
            text = path.read_text() if path else package_files("llmos.models").joinpath("catalog.toml").read_text()
            return cls({name: _entry(name, table) for name, table in tomllib.loads(text).items()})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadRequest(
                f"The catalog {path or 'of LLMOS'} can't be read: {error}.", param="LLMOS_CATALOG"
            ) from error
        except BadRequest as error:
            raise BadRequest(
                f"The catalog {path or 'of LLMOS'} is wrong: {error.message}", param="LLMOS_CATALOG"
            ) from error

    def __iter__(self) -> Iterator[Entry]:
        """The entries by name."""
        return (self._entries[name] for name in self.names())

    def names(self) -> list[str]:
        return sorted(self._entries)

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)


def _entry(name: str, table: object) -> Entry:
    where = f"[{check_name(name, 'a model')}]"
    fields = _fields(table, where, _ENTRY_FIELDS, required=("description", "license", "template", "sources"))
    if fields["template"] not in ("own", "none"):
        raise BadRequest(f'{where} has the template {fields["template"]!r}; it takes "own" or "none".')
    files = _files(fields.get("files", []), where)
    sources = tuple(_source(source, files, where) for source in _tables(fields["sources"], f"{where}.sources"))
    if not sources:
        raise BadRequest(f"{where} has no sources.")
    return Entry(
        name=name,
        description=_text(fields["description"], f"{where}.description"),
        license=_text(fields["license"], f"{where}.license"),
        template=fields["template"],
        sampling=_numbers(fields.get("sampling", {}), f"{where}.sampling"),
        sources=sources,
    )


def _source(table: object, default_files: tuple[StoredFile, ...], where: str) -> Source:
    where = f"{where}.sources"
    fields = _fields(table, where, _SOURCE_FIELDS, required=("from",))
    location = _text(fields["from"], f"{where}.from")
    kind_of(location)
    files = _files(fields["files"], where) if "files" in fields else default_files
    if not files:
        raise BadRequest(f"{where} pins no files for {location}.")
    folder = _text(fields.get("folder", ""), f"{where}.folder", may_be_empty=True)
    size = fields.get("download_size", sum(file.size for file in files))
    return Source(
        location=location,
        folder=check_file_name(folder) if folder else "",
        files=files,
        download_size=_size(size, f"{where}.download_size"),
    )


def _files(value: object, where: str) -> tuple[StoredFile, ...]:
    files = []
    for table in _tables(value, f"{where}.files"):
        fields = _fields(table, f"{where}.files", _FILE_FIELDS, required=_FILE_FIELDS)
        sha256 = _text(fields["sha256"], f"{where}.files.sha256")
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise BadRequest(f"{where}.files has the sha256 {sha256!r}; it takes 64 lower-case hexadecimal digits.")
        name = check_file_name(_text(fields["name"], f"{where}.files.name"))
        files.append(StoredFile(name, f"sha256:{sha256}", _size(fields["size"], f"{where}.files.size")))
    if len({file.name for file in files}) < len(files):
        raise BadRequest(f"{where}.files names a file twice.")
    return tuple(files)


def _tables(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise BadRequest(f"{where} is no list of tables; write [[{where.replace('[', '').replace(']', '')}]].")
    return value


def _fields(value: object, where: str, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{where} is no table.")
    for name in value:
        if name not in known:
            meant = nearest(name, known, 1)
            raise BadRequest(f"{where} has an unknown field {name!r}" + (f"; {meant[0]!r}?" if meant else "."))
    if missing := [name for name in required if name not in value]:
        raise BadRequest(f"{where} lacks {', '.join(missing)}.")
    return value


def _text(value: object, where: str, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or may_be_empty):
        raise BadRequest(f"{where} is {value!r}; it takes a text.")
    return value


def _numbers(value: object, where: str) -> dict[str, float]:
    fields = _fields(value, where, RECOMMENDABLE, required=())
    for name, number in fields.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise BadRequest(f"{where}.{name} is {number!r}; it takes a number.")
    return fields


def _size(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadRequest(f"{where} is {value!r}; it takes a number of bytes.")
    return value
