"""Parquet, read by duckdb in bounded memory. Structs are objects, lists are arrays; dates and decimals become texts."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from llmos.core.errors import BadRequest
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.formats import Format, Records
from llmos.data.datasets.formats._bytes import opened

_ROWS_AT_ONCE = 200


def _read(path: Path, name: str) -> Records:
    import duckdb

    with ExitStack() as held:
        if name.endswith((".gz", ".zst")):
            copy = held.enter_context(tempfile.NamedTemporaryFile(suffix=".parquet"))
            with opened(path, name) as file:
                shutil.copyfileobj(file, copy)
            copy.flush()
            path = Path(copy.name)
        connection = held.enter_context(open_columnar())
        number = 0
        try:
            found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            columns = [column[0] for column in found.description or ()]
            while batch := found.fetchmany(_ROWS_AT_ONCE):
                for values in batch:
                    number += 1
                    yield number, dict(zip(columns, map(_plain, values), strict=True))
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].replace(str(path), name)[:300]
            raise BadRequest(f"{name} can't be read behind row {number}: {reason}", param="path") from None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it. NULLs within structs are left out, as Parquet has every field everywhere."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


FORMAT = Format(suffixes=(".parquet",), read=_read)
