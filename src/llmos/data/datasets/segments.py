"""Segments: Parquet files, compressed with zstd, with the rows of a version or with what became of its parents' rows.

A segment of rows has the columns id (32 bytes), content (JSON, as text) and those of rows.COLUMNS. A segment of changes
has the columns id, operator, reason, detail and successor (the id of the row in its place; NULL if it was dropped).
"""

import hashlib
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.core.errors import BadModelFile
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.contents import Kind
from llmos.data.datasets.parquet_writer import Identifiers, OptionalTexts, Texts, encode_parquet
from llmos.data.datasets.rows import COLUMNS, Row
from llmos.data.datasets.sealed_sources import lend_files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TARGET_BYTES = 4 << 20
"""The bytes of contents that segments have on average."""

MAX_BYTES = 2 * TARGET_BYTES

CHANGE_COLUMNS = ("operator", "reason", "detail", "successor")

_ROWS_AT_ONCE = 1000


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fate of a row of a parent: it was dropped, or another row took its place."""

    id: str
    """The id of the parent's row."""
    operator: str
    """The operator that did it, such as "language"."""
    reason: str
    """A short, fixed word for counts, such as "too_short"."""
    detail: str | None = None
    """A sentence about this row."""
    successor: str | None = None
    """The id of the row that took its place; None: it was dropped."""


def is_cut_after(row: Row, num_bytes: int) -> bool:
    """Return whether a segment of `num_bytes` ends with this row.

    Cuts depend on the rows around them alone, so that a version that leaves some rows out shares all other segments.
    Every byte of contents ends a segment with the same probability.
    """
    return num_bytes >= MAX_BYTES or int(row.id[:15], 16) % TARGET_BYTES < len(row.body)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Return the file of a segment of rows, at least one."""
    ids = Identifiers("id", [row.id for row in rows])
    contents = Texts("content", [row.body for row in rows])
    return encode_parquet([ids, contents, *_optional_columns(COLUMNS, rows)])


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Return the file of a segment of changes, at least one."""
    ids = Identifiers("id", [change.id for change in changes])
    return encode_parquet([ids, *_optional_columns(CHANGE_COLUMNS, changes)])


def read_rows(path: Path, kind: Kind, *, below: str = "") -> Iterator[list[Row]]:
    """Yield the rows of a segment in batches, in order. Raises BadModelFile for a damaged file.

    `below`: yield the rows whose ids, in hexadecimal digits, come before it. They are a random part of all rows.
    """
    for batch in _read(path, ", ".join(("lower(hex(id))", "content", *COLUMNS)), below):
        yield [
            Row(
                id=id,
                kind=kind,
                body=content.encode(),
                origin=origin,
                language=language,
                license=license,
                consent=consent,
                subject=subject,
                split=split,
            )
            for id, content, origin, language, license, consent, subject, split in batch
        ]


def read_changes(path: Path) -> Iterator[list[Change]]:
    """Yield the changes of a segment in batches, in order. Raises BadModelFile for a damaged file."""
    for batch in _read(path, ", ".join(("lower(hex(id))", *CHANGE_COLUMNS))):
        yield [
            Change(id=id, operator=operator, reason=reason, detail=detail, successor=successor)
            for id, operator, reason, detail, successor in batch
        ]


def digest_of_records(records: bytes) -> str:
    """Return the digest that names the rows of a segment, whichever file has them."""
    return f"sha256:{hashlib.sha256(records).hexdigest()}"


def _optional_columns(names: Sequence[str], items: Sequence[Row] | Sequence[Change]) -> list[OptionalTexts]:
    """Return these attributes of the items as columns; an empty text is no value."""
    return [OptionalTexts(name, [value or None for value in map(attrgetter(name), items)]) for name in names]


def _read(path: Path, selected: str, below: str = "") -> Iterator[list[tuple[Any, ...]]]:
    import duckdb

    with open_columnar() as connection, lend_files(connection, [path]) as names:
        try:
            query = f"SELECT {selected} FROM read_parquet(?)"  # noqa: S608 - The columns are constants.
            query, values = (f"{query} WHERE id < unhex(?)", [below]) if below else (query, [])
            found: DuckDBPyConnection = connection.execute(query, [names, *values])
            while batch := found.fetchmany(_ROWS_AT_ONCE):
                yield batch
        except duckdb.Error as error:  # Where an encrypted file is to blame, lend_files() says it instead.
            raise BadModelFile(f"The segment {path.name[:12]} of a dataset can't be read: {error}.") from None
