"""Plain text: each line that isn't empty is one text."""

from pathlib import Path

from llmos.data.datasets.formats import BadRecord, Format, Records
from llmos.data.datasets.formats._bytes import read_lines


def _read(path: Path, name: str) -> Records:
    for number, line in read_lines(path, name):
        if isinstance(line, BadRecord):
            yield number, line
            continue
        try:
            yield number, {"text": line.decode()}
        except UnicodeDecodeError as error:
            yield number, BadRecord(f"The line isn't UTF-8: {error.reason} at byte {error.start}.")


FORMAT = Format(suffixes=(".txt",), read=_read)
