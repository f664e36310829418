"""The fuzz targets of data: files of rows, and documents. The first byte of an input says the suffix of its name."""

import contextlib
import itertools
import tempfile
from pathlib import Path

from llmos.core.errors import BadDocument, BadRequest
from llmos.data.datasets import segments
from llmos.data.datasets.folder import DataFile, Layout
from llmos.data.datasets.formats import FileReport, read_records
from llmos.data.datasets.importing import examine
from llmos.data.datasets.records import BadRow, ImportOptions, RowReader
from llmos.data.datasets.rows import Row, make_row

PLAIN_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")
"""Without Arrow, which is read in a process apart: damaged files do end it."""

ROW_SUFFIXES = (*PLAIN_SUFFIXES, *(f"{suffix}{packed}" for packed in (".gz", ".zst") for suffix in PLAIN_SUFFIXES))
DOCUMENT_SUFFIXES = (".pdf", ".docx", ".xlsx", ".html", ".md", ".csv", ".txt", ".xls", ".xlsb", "")

_MAX_ROWS = 500
_MAX_CHARACTERS = 1 << 20


def import_parsers() -> None:
    """Import what documents are parsed with, so that the fuzzer sees which code runs."""
    from llmos.data.documents.parsers import parsers

    parsers()


def fuzz_rows(data: bytes) -> None:
    """Import a file: recognize its shape, make rows, and write and read them as a segment."""
    suffix, content = _named(data, ROW_SUFFIXES)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / f"data{suffix}"
        path.write_bytes(content)
        try:
            rows = _rows(path)
        except BadRequest:
            return
        if rows:
            segment = Path(folder) / "segment"
            segment.write_bytes(segments.encode_rows(rows))
            assert [row for batch in segments.read_rows(segment, rows[0].kind) for row in batch] == rows


def fuzz_documents(data: bytes) -> None:
    """Parse a document in this process. Libraries may raise anything; what they return must fit together."""
    from llmos.data.documents.builder import TooMuchText
    from llmos.data.documents.parser_process import parse_content
    from llmos.data.documents.passages import passages

    suffix, content = _named(data, DOCUMENT_SUFFIXES)
    try:
        document = parse_content(content, f"file{suffix}", _MAX_CHARACTERS)
    except (BadDocument, TooMuchText):
        return
    except Exception:  # parsing.py makes one message of it, as of the death of its process.
        return
    assert 0 <= document.kept_characters <= document.found_characters
    for part in (*document.sections, *document.tables, *document.pages):
        assert 0 <= part.start <= part.end <= len(document.text)
    ends = [(0, 0), *((start, end) for start, end, _ in passages(document))]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))
    make_row("text", {"text": document.text})


def _rows(path: Path) -> list[Row]:
    """Return the rows that an import would keep."""
    layout = Layout(files=[DataFile(path.name, path)])
    options = ImportOptions(on_error="skip")
    reader = RowReader(examine(layout, options).shape, options, str)
    rows = []
    for number, record in itertools.islice(read_records(path, path.name), _MAX_ROWS):
        assert not isinstance(record, FileReport)
        with contextlib.suppress(BadRow):
            rows.append(reader.row(record, f"data:{number}", None))
    return rows


def _named(data: bytes, suffixes: tuple[str, ...]) -> tuple[str, bytes]:
    return suffixes[data[0] % len(suffixes)] if data else suffixes[0], data[1:]
