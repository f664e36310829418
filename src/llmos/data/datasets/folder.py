"""Data files: a file, or those of a folder as Hugging Face lays them out.

The README's front matter may say which files are which split (`configs`, `data_files`), and the license.
Otherwise the names of files and folders say which split they are: train, test, validation and other names for these.
In an export of LLMOS, each record says it.
Source: https://huggingface.co/docs/hub/datasets-data-files-configuration.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.formats import MANIFEST_SUFFIX, is_data_file, is_document, plain_name, suffix_of

README = "README.md"

_SPLITS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
_WORDS = re.compile(r"[^A-Za-z]+")
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_README_CHARACTERS = 100_000
_DESCRIPTIONS = (".md", ".markdown", ".html", ".htm")
"""Beside files of rows, these describe them, as a README does."""
_METADATA = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "package.json")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file with records."""

    name: str
    """Its path within the folder; for a single file its name."""
    path: Path
    split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The data files, and what the README says about all of them."""

    files: Sequence[DataFile]
    license: str | None = None
    manifest: Mapping[str, Any] | None = None
    """The manifest in an export of LLMOS: that of the version that it is."""


def select_data_files(names: Collection[str], where: str, chosen: str | None = None) -> list[str]:
    """Return the names of the data files in a folder, with its README. Raises BadRequest where there are none.

    `chosen`: the file or the folder in it that is wanted. `where`: the folder's name in messages.
    """
    if chosen is not None:
        names = [name for name in names if name == chosen or name.startswith(f"{chosen.rstrip('/')}/")]
        where = f"{chosen} in {where}"
    found = sorted(name for name in names if is_data_file(name) and not _is_about_data(name))
    if any(not is_document(name) and suffix_of(name) != ".txt" for name in found) and chosen is None:
        found = [name for name in found if suffix_of(name) not in _DESCRIPTIONS]
    if not found:
        raise BadRequest(
            f"There are no data files in {where}: none ends in .jsonl, .json, .csv, .parquet or another format."
        )
    return [*found, *([README] if README in names else [])]


def find_layout(path: Path, config: str | None = None) -> Layout:
    """Return the data files at a local path. Raises BadRequest where there are none. `config`: one of the README's."""
    path = path.expanduser().absolute()
    if path.is_dir():
        names = [str(each.relative_to(path)) for each in sorted(path.rglob("*")) if each.is_file()]
        return layout_of({name: path / name for name in select_data_files(names, str(path))}, str(path), config)
    if not path.is_file():
        raise BadRequest(f"There is no file or folder {path}.", param="path")
    return Layout(files=[DataFile(path.name, path)], manifest=_manifest_beside(path))


def _manifest_beside(path: Path) -> Mapping[str, Any] | None:
    """Return the manifest that an export wrote beside a file, or None."""
    try:
        with path.with_name(path.name + MANIFEST_SUFFIX).open("rb") as file:
            found = msgspec.json.decode(file.read(_README_CHARACTERS))
    except (OSError, msgspec.DecodeError):
        return None
    return found if isinstance(found, dict) else None


def layout_of(files: Mapping[str, Path], where: str, config: str | None = None) -> Layout:
    """Return the layout of these files {name: path}. Raises BadRequest for an invalid README or an unknown config."""
    header = _front_matter(files[README]) if README in files else {}
    names = sorted(name for name in files if name != README)
    splits = _configured(header, names, where, config)
    if splits is None:
        if config is not None:
            raise BadRequest(f"The README of {where} has no configs.", param="config")
        splits = {name: _split_in(name) for name in names}
    manifest = header["llmos"] if isinstance(header.get("llmos"), dict) else None
    if manifest is not None:  # The records say their splits; the README has one even for those without.
        splits = dict.fromkeys(splits)
    return Layout(
        files=[DataFile(name, files[name], split) for name, split in splits.items()],
        license=_single(header.get("license")),
        manifest=manifest,
    )


def _configured(
    header: Mapping[str, Any], names: Sequence[str], where: str, config: str | None
) -> dict[str, str | None] | None:
    """Return {file: split} as the README says, in its order; None where it says nothing of it."""
    configs = [each for each in header.get("configs") or [] if isinstance(each, dict) and each.get("data_files")]
    if not configs:
        return None
    by_name = {str(each.get("config_name", "default")): each for each in configs}
    if config is None and len(by_name) > 1 and "default" not in by_name:
        raise BadRequest(f"{where} has several configs. Choose one: --config {' | '.join(by_name)}", param="config")
    chosen = by_name.get(config or ("default" if "default" in by_name else next(iter(by_name))))
    if chosen is None:
        raise BadRequest(f"{where} has no config {config!r}. It has {', '.join(by_name)}.", param="config")
    splits: dict[str, str | None] = {}
    for split, pattern in _patterns(chosen["data_files"]):
        matching = [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(plain_name(name), pattern)]
        splits |= {name: split for name in matching if name not in splits}
    if not splits:
        raise BadRequest(f"The config in the README of {where} names no file that is there.", param="config")
    return splits


def _patterns(data_files: Any) -> list[tuple[str | None, str]]:
    """Return [(split, pattern of file names)] of a config's `data_files`: a pattern, patterns, or splits with them."""
    if isinstance(data_files, str):
        return [("train", data_files)]
    if isinstance(data_files, dict):
        return [(str(split), str(each)) for split, found in data_files.items() for each in _listed(found)]
    found: list[tuple[str | None, str]] = []
    for entry in _listed(data_files):
        if isinstance(entry, dict):
            split = None if entry.get("split") is None else str(entry["split"])
            found += [(split, str(each)) for each in _listed(entry.get("path"))]
        else:
            found.append(("train", str(entry)))
    return found


def _split_in(name: str) -> str | None:
    """Return the split that the name of a file, or of a folder above it, says; that of the file counts most.

    The name of a document is its title: "Testing guide.pdf" is no test.
    """
    path = PurePosixPath(plain_name(name))
    for part in reversed(path.parent.parts if is_document(name) else path.parts):
        for word in _WORDS.split(part.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def _front_matter(path: Path) -> Mapping[str, Any]:
    with path.open(encoding="utf-8", errors="replace") as file:
        match = _FRONT_MATTER.match(file.read(_README_CHARACTERS))
    if match is None:
        return {}
    import yaml

    try:
        header = yaml.safe_load(match[1])
    except (yaml.YAMLError, RecursionError) as error:
        raise BadRequest(f"The front matter of {path.name} isn't YAML: {' '.join(str(error).split())[:300]}") from None
    return header if isinstance(header, dict) else {}


def _is_about_data(name: str) -> bool:
    """Return whether the file describes data instead of having some."""
    parts = PurePosixPath(name).parts
    if parts[-1] in (README, *_METADATA) or name.endswith(MANIFEST_SUFFIX):
        return True
    return any(part.startswith(".") or ".dist-info" in part for part in parts)


def _single(value: Any) -> str | None:
    """Return the only value of a text or a list."""
    values = _listed(value)
    return str(values[0]) if len(values) == 1 and values[0] is not None else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _DatasetSelection:
    """Selects the data files of a source, see llmos.core.sources.Selection."""

    hub_kind = "datasets"

    def select(self, names: Collection[str], where: str, chosen: str | None = None) -> list[str]:
        """Return the data files. Raises as select_data_files()."""
        return select_data_files(names, where, chosen)

    def find(self, path: Path) -> dict[str, Path]:
        """Return the data files at a local path."""
        if path.is_dir():
            names = [str(each.relative_to(path)) for each in sorted(path.rglob("*")) if each.is_file()]
            return {name: path / name for name in select_data_files(names, str(path))}
        return {path.name: path}

    def archive_folder(self, paths: Sequence[str], chosen: str | None) -> str:
        """Return the chosen folder, or that of the chosen file; without one the whole archive."""
        if chosen is None:
            return ""
        folder = f"{chosen.rstrip('/')}/"
        if any(path.startswith(folder) for path in paths):
            return folder
        top = PurePosixPath(chosen).parent.as_posix()
        return "" if top == "." else f"{top}/"

    def check_url(self, url: str, name: str) -> None:
        """Raise BadRequest unless the name is that of a data file."""
        if not is_data_file(name):
            raise BadRequest(
                f"{url} is no data file: its name ends in no suffix of a known format, such as .jsonl or .parquet."
            )


DATASET_SELECTION = _DatasetSelection()
