"""The process that reads one Arrow file: arro3 ends a process whose file is damaged in some ways.

arrow.py  --- the file, open, on standard input -------------------------->  main()
          <--- each record as JSON in a line, then END or FAILURE and why ---

It has no secrets, and opens nothing once it has begun to read.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.isolation import forbid_opening
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.formats._columns import read_result

END = b"="
FAILURE = b"!"

MEMORY_BYTES = 1 << 30
_OF_FILES = b"ARROW1"
_ALL_KINDS = "SELECT 1::DECIMAL(4,1), DATE '2026-01-01', TIMESTAMP '2026-01-01', TIME '12:00', INTERVAL 1 DAY, uuid()"


def main() -> None:
    from arro3 import core, io

    assert core  # io imports it while it reads.

    for limit, value in ((resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (value, value))
    is_file, output = os.pread(0, len(_OF_FILES), 0) == _OF_FILES, sys.stdout.buffer
    with open(0, "rb", buffering=0, closefd=False) as file, open_columnar() as connection:
        connection.execute(_ALL_KINDS).fetchall()  # imports what makes such values
        forbid_opening()
        try:
            reader = io.read_ipc(file) if is_file else io.read_ipc_stream(file)
            for record in _records(connection, reader):
                output.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            output.write(END)
        except BadRequest as error:
            output.write(FAILURE + error.message.encode())
        except BaseException as error:  # arro3's errors have no class of their own, and its panics are no Exception.
            output.write(FAILURE + str(error)[:300].encode(errors="replace"))


def _records(connection: Any, reader: Any) -> Iterator[Any]:
    for batch in reader:
        connection.register("records", batch)
        for _, record in read_result(connection, "SELECT * FROM records", [], "The file"):
            yield record


if __name__ == "__main__":
    main()
