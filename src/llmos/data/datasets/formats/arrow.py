"""Arrow IPC: files (also called Feather) and streams. arro3 decodes and checks them in a process apart, and duckdb
makes values of them, as of Parquet, in bounded memory."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from llmos.core.errors import BadRequest
from llmos.data.datasets.formats import Format, Records
from llmos.data.datasets.formats._arrow_process import END, FAILURE
from llmos.data.datasets.formats._bytes import unpacked

_COMMAND = (sys.executable, "-P", "-m", "llmos.data.datasets.formats._arrow_process")
_OF_FEATHER_1 = b"FEA1"


def _read(path: Path, name: str) -> Records:
    if find_spec("arro3") is None:
        raise BadRequest(f"{name} is Arrow, which needs another package: pip install 'llmos[arrow]'")
    with unpacked(path, name, ".arrow") as plain, plain.open("rb", buffering=0) as file:
        if file.read(len(_OF_FEATHER_1)) == _OF_FEATHER_1:
            raise BadRequest(f"{name} is of Feather's first version. Write it again with the second one.", param="path")
        file.seek(0)
        process = subprocess.Popen(
            _COMMAND,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "", "HOME": "/nonexistent"},  # It gets no secret of this process.
        )
        try:
            assert process.stdout is not None
            for number, line in enumerate(_lines(process.stdout, name), 1):
                yield number, json.loads(line)
        finally:
            process.kill()
            process.communicate()


def _lines(output: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the lines with records. Raises BadRequest for a file that isn't Arrow, or is damaged."""
    for line in output:
        if line == END:
            return
        if line.startswith(FAILURE):
            reason = line.removeprefix(FAILURE).decode(errors="replace")
            raise BadRequest(f"{name} is no Arrow, or damaged: {reason}", param="path")
        yield line
    raise BadRequest(f"{name} is damaged, or too large: the process that reads it died.", param="path")


FORMAT = Format(suffixes=(".arrow", ".arrows", ".feather", ".ipc"), read=_read)
