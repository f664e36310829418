"""Parquet, read by duckdb in bounded memory."""

from pathlib import Path

from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.formats import Format, Records
from llmos.data.datasets.formats._bytes import unpacked
from llmos.data.datasets.formats._columns import read_result


def _read(path: Path, name: str) -> Records:
    with unpacked(path, name, ".parquet") as plain, open_columnar() as connection:
        yield from read_result(connection, "SELECT * FROM read_parquet(?)", [str(plain)], name)


FORMAT = Format(suffixes=(".parquet",), read=_read)
