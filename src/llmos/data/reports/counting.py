"""Counts of a version's rows by the values of their columns. duckdb reads the columns alone, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadModelFile
from llmos.core.schemas.dataset_reports import ColumnCounts, ValueCount
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.sealed_sources import lend_files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MAX_VALUES = 20

_COLUMNS = {
    "file": r"regexp_replace(origin, '(:\d+|#.*)$', '')",  # FILE:LINE, or FILE#page=3 of documents
    "language": "language",
    "license": "license",
    "consent": "consent",
    "split": "split",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    columns: dict[str, ColumnCounts]
    num_with_subject: int
    num_repeated: int | None
    """None: there are too many rows to count them."""


def count_rows(paths: Sequence[Path]) -> Counts:
    """Return the counts of the rows in these segments. Raises BadModelFile for a damaged one."""
    import duckdb

    with open_columnar() as connection, lend_files(connection, paths) as files:
        try:
            return Counts(
                columns={name: _column(connection, files, value) for name, value in _COLUMNS.items()},
                num_with_subject=int(_one(connection, files, "count(subject)")),
                num_repeated=_repeated(connection, files),
            )
        except duckdb.Error as error:
            raise BadModelFile(f"The rows of the dataset can't be read: {error}.") from None


def _column(connection: "DuckDBPyConnection", files: list[str], value: str) -> ColumnCounts:
    query = f"SELECT {value}, count(*) FROM read_parquet(?) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"  # noqa: S608
    found = connection.execute(query, [files, _MAX_VALUES]).fetchall()
    values = [ValueCount(value=value, num_rows=count) for value, count in found]
    total = int(_one(connection, files, "count(*)"))
    return ColumnCounts(values=values, num_others=total - sum(each.num_rows for each in values))


def _repeated(connection: "DuckDBPyConnection", files: list[str]) -> int | None:
    import duckdb

    try:
        return int(_one(connection, files, "count(*) - count(DISTINCT id)"))
    except duckdb.OutOfMemoryException:
        return None


def _one(connection: "DuckDBPyConnection", files: list[str], value: str) -> Any:
    return connection.execute(f"SELECT {value} FROM read_parquet(?)", [files]).fetchall()[0][0]  # noqa: S608
