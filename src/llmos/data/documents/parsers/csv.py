"""CSV and TSV: one table, whose first row is its header. The delimiter is found in the first lines."""

import csv
import io
from collections import Counter

from llmos.data.documents.builder import DocumentBuilder
from llmos.data.documents.decoding import decode

SUFFIXES = (".csv", ".tsv")
RANK = 5

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 20
_MAX_CELL = 16 << 20


def fits(content: bytes, suffix: str) -> bool:
    return suffix in SUFFIXES


def parse(content: bytes, builder: DocumentBuilder) -> None:
    text = decode(content, builder)
    builder.find(text)
    csv.field_size_limit(_MAX_CELL)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)) if any(row)]
    if rows:
        builder.add_table(rows)


def _delimiter(text: str) -> str:
    """Return the delimiter that is in the first lines equally often; among several, the most frequent one."""
    lines = [line for line in text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES] if line.strip()]
    counts = {each: Counter(line.count(each) for line in lines).most_common(1) for each in _DELIMITERS}
    agreeing = {each: found[0] for each, found in counts.items() if found and found[0][0]}
    return max(agreeing, key=lambda each: (agreeing[each][1], agreeing[each][0]), default=",")
