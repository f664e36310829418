"""Exports: a version as a file in any shape, or as a folder as Hugging Face lays it out.

import(export(version)) has the same digest: each record has the columns beside its content under `llmos`, and the
manifest is in the folder's README, or beside the file as NAME.llmos.json where the version was made from others.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import msgspec

from llmos.core.disk import sync_to_disk
from llmos.core.errors import BadRequest, Conflict
from llmos.core.progress import Progress, no_progress
from llmos.data.datasets.contents import Kind, decode_content
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.folder import README
from llmos.data.datasets.formats import MANIFEST_SUFFIX, suffix_of
from llmos.data.datasets.rows import COLUMNS, Row
from llmos.data.datasets.shapes import Shape, shape_named, shapes
from llmos.data.datasets.versions import DatasetVersion

_NATIVE: dict[Kind, str] = {"chat": "messages", "preference": "preference", "case": "case", "text": "text"}
_encoder = msgspec.json.Encoder()

_MAX_FILES = 100
"""The most files of a folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    path: Path
    num_rows: int
    size: int
    """Bytes of all files."""


def export_shape(kind: Kind, name: str | None) -> Shape:
    """Return the shape to export rows of a kind in. Raises BadRequest for one of another kind. None: the usual one."""
    shape = shape_named(name or _NATIVE[kind])
    if shape.kind != kind:
        known = [each.name for each in shapes().values() if each.kind == kind]
        raise BadRequest(
            f"Rows of the kind {kind} can be exported as {' or '.join(known)}, not as {shape.name}.", param="as"
        )
    return shape


def record_lines(rows: Iterator[Row], shape: Shape, *, has_columns: bool = True) -> Iterator[bytes]:
    """Yield each row as a line of JSON. Raises BadRequest, with the row, for what the shape can't say."""
    for row in rows:
        try:
            record = shape.write(decode_content(row.kind, row.body))
        except BadRequest as error:
            raise BadRequest(f"The row {row.id[:12]} ({row.origin}) can't be exported: {error.message}") from None
        columns = {name: value for name in COLUMNS if (value := getattr(row, name)) is not None}
        if columns and has_columns:
            record["llmos"] = columns
        yield _encoder.encode(record) + b"\n"


def export_file(
    datasets: ProjectDatasets,
    version: DatasetVersion,
    path: Path,
    *,
    shape: str | None = None,
    has_columns: bool = True,
    progress: Progress = no_progress,
) -> Exported:
    """Write a version to a file: JSON Lines, by its suffix compressed. Raises Conflict where the file exists."""
    found = export_shape(version.kind, shape)
    if suffix_of(path.name) not in (".jsonl", ".ndjson"):
        raise BadRequest(
            f"{path.name} must end in .jsonl, .jsonl.gz or .jsonl.zst, or be a folder (with / at its end).",
            param="path",
        )
    manifest = path.with_name(path.name + MANIFEST_SUFFIX) if version.parents or version.recipe else None
    for each in filter(None, (path, manifest)):
        _check_free(each)
    rows = _followed(datasets.rows(version), path.name, version.num_rows, progress)
    with _written(path) as file:
        for line in record_lines(rows, found, has_columns=has_columns):
            file.write(line)
    if manifest is not None and has_columns:
        with _written(manifest) as file:
            file.write(_encoder.encode(version.manifest))
    return Exported(path=path, num_rows=version.num_rows, size=path.stat().st_size)


def export_folder(
    datasets: ProjectDatasets,
    version: DatasetVersion,
    folder: Path,
    *,
    shape: str | None = None,
    progress: Progress = no_progress,
) -> Exported:
    """Write a version as a folder with a README and a file for each run of rows of the same split.

    Where the splits are mixed, so that there were too many files, all rows are in one file: their order is kept.
    Raises Conflict where the folder exists and isn't empty.
    """
    found = export_shape(version.kind, shape)
    if folder.is_dir() and any(folder.iterdir()):
        raise Conflict(f"{folder} isn't empty. Choose another folder.")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    names: list[tuple[str, str | None]] = []
    num_runs = sum(1 for _ in groupby(row.split for row in datasets.rows(version)))
    is_mixed = num_runs > _MAX_FILES
    rows = _followed(datasets.rows(version), folder.name, version.num_rows, progress)
    with ExitStack() as held:
        write: Callable[[bytes], Any] | None = None
        for row in rows:
            split = None if is_mixed else row.split
            if write is None or split != names[-1][1]:
                held.close()
                name = f"data/{len(names):05}-{_safe(split or 'rows')}.jsonl"
                names.append((name, split))
                write = held.enter_context(_written(folder / name)).write
            for line in record_lines(iter([row]), found):
                write(line)
    with _written(folder / README) as file:
        file.write(_readme(version, names).encode())
    return Exported(
        path=folder,
        num_rows=version.num_rows,
        size=sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()),
    )


def _readme(version: DatasetVersion, names: Sequence[tuple[str, str | None]]) -> str:
    """Return a README whose front matter names the files, the splits and the manifest. JSON is YAML, too."""
    files = [{"split": split or "train", "path": name} for name, split in names]
    lines = [f"configs: {_json([{'config_name': 'default', 'data_files': files}])}"]
    if version.license:
        lines.append(f"license: {_json(version.license)}")
    lines.append(f"llmos: {_json(msgspec.to_builtins(version.manifest))}")
    front = "\n".join(lines)
    return f"---\n{front}\n---\n# {version.dataset}\n\n{version.num_rows:,} rows, {version.digest}\n"


def _json(value: Any) -> str:
    return _encoder.encode(value).decode()


def _safe(split: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in split)[:40]


def _followed(rows: Iterator[Row], label: str, num_rows: int, progress: Progress) -> Iterator[Row]:
    """Yield the rows, and report how many."""
    for number, row in enumerate(rows, 1):
        if number % 1000 == 0 or number == num_rows:
            progress(label, number, num_rows)
        yield row


def _check_free(path: Path) -> None:
    if path.exists():
        raise Conflict(f"{path} exists. Remove it, or choose another file.")


@contextmanager
def _written(path: Path) -> "Iterator[IO[bytes]]":
    """Write a file that appears once it is complete, compressed as its suffix says."""
    from llmos.data.datasets.formats._bytes import compressed

    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with scratch.open("xb") as plain, compressed(plain, path.name) as file:
            yield file
        sync_to_disk(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
