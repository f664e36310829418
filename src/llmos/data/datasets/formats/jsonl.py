"""JSON Lines: one JSON object on each line."""

from pathlib import Path

from llmos.data.datasets.formats import Format, Records
from llmos.data.datasets.formats._bytes import read_lines


def _read(path: Path, name: str) -> Records:
    return read_lines(path, name)


FORMAT = Format(suffixes=(".jsonl", ".ndjson", ".jsonlines"), read=_read)
