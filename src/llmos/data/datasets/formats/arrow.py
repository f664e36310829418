"""Arrow IPC: files (also called Feather) and streams, which the content tells apart. arro3 decodes and checks them, and
duckdb makes values of them, as of Parquet, in bounded memory."""

from pathlib import Path
from typing import Any

from llmos.core.errors import BadRequest
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.formats import Format, Records
from llmos.data.datasets.formats._bytes import unpacked
from llmos.data.datasets.formats._columns import read_result

_OF_FILES = b"ARROW1"
_OF_FEATHER_1 = b"FEA1"


def _read(path: Path, name: str) -> Records:
    with unpacked(path, name, ".arrow") as plain, plain.open("rb") as file, open_columnar() as connection:
        connection.register("records", _reader(file, name))
        yield from read_result(connection, "SELECT * FROM records", [], name)


def _reader(file: Any, name: str) -> Any:
    try:
        from arro3 import io
    except ImportError:
        raise BadRequest(f"{name} is Arrow, which needs another package: pip install 'llmos[arrow]'") from None
    beginning = file.read(len(_OF_FILES))
    file.seek(0)
    if beginning.startswith(_OF_FEATHER_1):
        raise BadRequest(f"{name} is of Feather's first version. Write it again with the second one.", param="path")
    try:
        return io.read_ipc(file) if beginning == _OF_FILES else io.read_ipc_stream(file)
    except Exception as error:  # arro3's own errors have no class of their own.
        raise BadRequest(f"{name} is no Arrow: {str(error)[:300]}", param="path") from None


FORMAT = Format(suffixes=(".arrow", ".arrows", ".feather", ".ipc"), read=_read)
