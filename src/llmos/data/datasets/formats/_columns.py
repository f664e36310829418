"""Records of columnar files, from duckdb. Structs are objects, lists are arrays; dates and decimals become texts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest
from llmos.data.datasets.formats import Records

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 200


def read_result(connection: "DuckDBPyConnection", query: str, values: list[str], name: str) -> Records:
    """Yield the rows of a query on a file. Raises BadRequest for a damaged one, whose name is `name`."""
    import duckdb

    number = 0
    try:
        found = connection.execute(query, values)
        columns = [column[0] for column in found.description or ()]
        while batch := found.fetchmany(_ROWS_AT_ONCE):
            for row in batch:
                number += 1
                yield number, dict(zip(columns, map(_plain, row), strict=True))
    except (duckdb.Error, UnicodeDecodeError, OverflowError, ValueError) as error:  # Values may be damaged, too.
        reason = str(error).splitlines()[0][:300]
        for value in values:
            reason = reason.replace(value, name)
        raise BadRequest(f"{name} can't be read behind row {number}: {reason}", param="path") from None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it. NULLs within structs are left out, as columnar files have every field
    everywhere."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
