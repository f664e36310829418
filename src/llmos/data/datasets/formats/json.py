"""JSON: an array of objects, or objects one after the other. duckdb cuts the file into records, in bounded memory."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from llmos.core.errors import BadRequest
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.formats import MAX_RECORD_BYTES, Format, Records
from llmos.data.datasets.formats._bytes import _without_bom, opened

_ROWS_AT_ONCE = 200


def _read(path: Path, name: str) -> Records:
    import duckdb

    with ExitStack() as held:
        path, is_array = _prepared(path, name, held)
        connection = held.enter_context(open_columnar())
        query = "SELECT json FROM read_json_objects(?, format=?, maximum_object_size=?, compression='none')"
        number = 0
        try:
            format = "array" if is_array else "unstructured"
            found = connection.execute(query, [str(path), format, MAX_RECORD_BYTES])
            while batch := found.fetchmany(_ROWS_AT_ONCE):
                for (record,) in batch:
                    number += 1
                    yield number, record.encode()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].replace(str(path), name)[:300]
            raise BadRequest(f"{name} is no JSON behind record {number}: {reason}", param="path") from None


def _prepared(path: Path, name: str, held: ExitStack) -> tuple[Path, bool]:
    """Return a plain file with the same content, and whether it is an array."""
    with opened(path, name) as file:
        beginning = file.read(4096)
        plain = _without_bom(beginning, name)
        if name.endswith((".gz", ".zst")) or plain != beginning:
            copy = held.enter_context(tempfile.NamedTemporaryFile(suffix=".json"))  # noqa: SIM115
            copy.write(plain)
            shutil.copyfileobj(file, copy)
            copy.flush()
            path = Path(copy.name)
    return path, plain.lstrip()[:1] == b"["


FORMAT = Format(suffixes=(".json",), read=_read)
