"""Documents for people: PDF, DOCX, HTML, XLSX, Markdown. A record is a section, or a page, or a whole document."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.errors import BadDocument, BadRequest
from llmos.data.datasets.formats import COMPRESSIONS, BadRecord, FileReport, Format, Records, plain_name
from llmos.data.datasets.formats._bytes import opened
from llmos.data.documents.document import Document
from llmos.data.documents.parsing import DocumentLimits, check_installed, parse_document
from llmos.data.documents.passages import passages

SUFFIXES = (".pdf", ".docx", ".docm", ".html", ".htm", ".xhtml", ".xlsx", ".xlsm", ".xlsb", ".xls", ".md", ".markdown")
"""The names of these files. Files of text and CSV are documents too, but their lines are rows here."""


def _read(path: Path, name: str) -> Records:
    check_installed()
    try:
        with _plain(path, name) as plain:
            document = parse_document(plain, plain_name(name))
    except BadDocument as error:
        yield 0, BadRecord(error.message)
        return
    for number, (start, end, anchor) in enumerate(passages(document), 1):
        origin = f"{plain_name(name)}#{anchor}" if anchor else plain_name(name)
        yield number, {"text": document.text[start:end], "llmos": {"origin": origin}}
    yield 0, _report(document)


def _report(document: Document) -> FileReport:
    return FileReport(
        found_characters=document.found_characters,
        kept_characters=document.kept_characters,
        left_out={each.what: each.count for each in document.left_out},
        notes=[*document.notes, *(f"{each.what}: {each.detail}" for each in document.left_out if each.detail)],
    )


@contextmanager
def _plain(path: Path, name: str) -> Iterator[Path]:
    """Yield a file with the content decompressed. Raises BadDocument for more than a document may have."""
    if not name.endswith(COMPRESSIONS):
        yield path
        return
    limit = DocumentLimits().file_bytes
    with tempfile.NamedTemporaryFile() as copy:
        try:
            with opened(path, name) as file:
                while chunk := file.read(1 << 18):
                    copy.write(chunk)
                    if copy.tell() > limit:
                        raise BadDocument(f"{name} unpacks to more than {limit >> 20} MiB, the limit.")
        except BadDocument:
            raise
        except BadRequest as error:
            raise BadDocument(error.message) from None
        copy.flush()
        yield Path(copy.name)


FORMAT = Format(suffixes=SUFFIXES, read=_read, is_document=True)
