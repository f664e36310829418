"""PDF, read by pypdf. Headings are those of its outline, or else lines in larger letters; tables stay lines of text.

Images are left out, and pages that are only images are named. Lines that repeat on most pages are left out too.
"""

import io
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError, PyPdfError
from pypdf.generic import NullObject

from llmos.core.errors import BadDocument
from llmos.data.documents.builder import DocumentBuilder
from llmos.data.documents.parsers._pdf_lines import (
    PdfLine,
    lines_of,
    mark_by_outline,
    mark_by_size,
    split_repeated,
)

SUFFIXES = (".pdf",)
RANK = 0

_SIGNATURE = b"%PDF-"
_SIGNATURE_BYTES = 1024
"""Readers look for the signature in as many bytes at the beginning."""
_MAX_PAGES = 20_000
_MAX_BOOKMARKS = 10_000


def fits(content: bytes, suffix: str) -> bool:
    return _SIGNATURE in content[:_SIGNATURE_BYTES]


def parse(content: bytes, builder: DocumentBuilder) -> None:
    try:
        reader = PdfReader(io.BytesIO(content))
        _decrypt(reader)
        num_pages = len(reader.pages)
    except PyPdfError as error:
        raise BadDocument(f"The PDF is broken: {str(error).rstrip('.')}.") from None
    if num_pages > _MAX_PAGES:
        raise BadDocument(f"The PDF has {num_pages:,} pages; the limit is {_MAX_PAGES:,}. Split it.")
    _take_properties(reader, builder)
    lines = _read_lines(reader, num_pages, builder)
    if not lines:
        raise BadDocument(_without_text(num_pages))
    lines, repeated = split_repeated(lines)
    for line in repeated:
        builder.leave_out("repeated_line", line.text)
    if mark_by_outline(lines, _outline(reader)) < 2:
        mark_by_size(lines)
    _add_lines(lines, builder)


def _decrypt(reader: PdfReader) -> None:
    """Open a PDF that only limits what readers may do. Raises BadDocument for one that needs a password."""
    if reader.is_encrypted:
        try:
            is_open = bool(reader.decrypt(""))
        except (DependencyError, NotImplementedError):
            is_open = False
        if not is_open:
            raise BadDocument("The PDF is encrypted. Save it without a password first, such as with qpdf --decrypt.")


def _read_lines(reader: PdfReader, num_pages: int, builder: DocumentBuilder) -> list[PdfLine]:
    lines: list[PdfLine] = []
    failure: Exception | None = None
    for number in range(1, num_pages + 1):
        try:
            page = reader.pages[number - 1]
            found = [line for line in lines_of(page, number) if line.text]
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # pypdf raises what it stumbles over: the other pages may be fine.
            builder.leave_out("unreadable_page", page=number)
            failure = error
            continue
        for _ in range(_num_images(page)):
            builder.leave_out("image")
        for text in _annotations(page):
            builder.find(text)
            builder.leave_out("annotation", text, page=number)
        if not found:
            builder.leave_out("page_without_text", page=number)
        for line in found:
            builder.find(line.text)
        lines += found
    if failure is not None and not lines:
        raise BadDocument(f"The PDF is broken: {str(failure).rstrip('.')[:300]}.")
    return lines


def _add_lines(lines: list[PdfLine], builder: DocumentBuilder) -> None:
    """Add paragraphs and headings. Lines one below the other with the same level are one heading."""
    for (page, level), group in groupby(lines, key=lambda line: (line.page, line.level)):
        builder.start_page(page)
        if level:
            builder.add_heading(level, " ".join(line.text for line in group))
        else:
            builder.add_block("\n".join(line.text for line in group))


def _num_images(page: PageObject) -> int:
    """Return the number of images that a page names; 0 where its resources are broken."""
    try:
        objects = page["/Resources"].get_object()["/XObject"].get_object()
        return sum(each.get_object().get("/Subtype") == "/Image" for each in objects.values())
    except Exception:
        return 0


def _annotations(page: PageObject) -> list[str]:
    """Return the texts of a page's comments and the values of its form's fields; none where they are broken."""
    try:
        found = [each.get_object() for each in page.get("/Annots", NullObject()).get_object() or ()]
        values = [each.get("/Contents") or each.get("/V") for each in found]
        return [str(value) for value in values if isinstance(value, str) and value.strip()]
    except Exception:
        return []


def _outline(reader: PdfReader) -> Iterator[tuple[int, int, str]]:
    """Yield (page, level, title) of the bookmarks that lead to a page; none where the outline is broken."""
    try:
        entries = reader.outline
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return
    waiting: list[tuple[int, Iterator[Any]]] = [(1, iter(entries))]
    num_bookmarks = 0
    while waiting:
        level, rest = waiting[-1]
        if (entry := next(rest, None)) is None:
            waiting.pop()
        elif isinstance(entry, list):
            waiting.append((level + 1, iter(entry)))
        elif (page := _page_of(reader, entry)) is not None:
            yield page, level, str(entry.title)
            num_bookmarks += 1
            if num_bookmarks == _MAX_BOOKMARKS:
                return


def _page_of(reader: PdfReader, bookmark: Any) -> int | None:
    try:
        number = reader.get_destination_page_number(bookmark)
    except Exception:
        return None
    return None if number is None or number < 0 else number + 1


def _take_properties(reader: PdfReader, builder: DocumentBuilder) -> None:
    """Take the title and the language that the file says, where they can be read."""
    try:
        builder.title = str(reader.metadata.title or "") if reader.metadata else None
    except Exception:
        builder.notes.append("The title can't be read.")
    try:
        builder.language = str(reader.root_object.get("/Lang") or "")
    except Exception:
        builder.notes.append("The language can't be read.")


def _without_text(num_pages: int) -> str:
    pages = "1 page" if num_pages == 1 else f"{num_pages:,} pages"
    if not num_pages:
        return "The PDF has no pages."
    return (
        f"The PDF has {pages} and no text: it is scanned, or drawn. Recognize its text first (OCR), such as with"
        " ocrmypdf."
    )
