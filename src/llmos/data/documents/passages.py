"""Passages: the text of a document cut along its headings, or else its pages, for rows of datasets."""

from collections.abc import Iterator
from typing import NamedTuple

from llmos.data.documents.document import Document

_MAX_ANCHOR = 200


class Passage(NamedTuple):
    """A piece of a document: text[start:end]."""

    start: int
    end: int
    anchor: str
    """The reference to it behind "FILE#": "page=3", or a heading; empty for a whole document."""


def passages(document: Document) -> Iterator[Passage]:
    """Yield the passages, which cover the text in order. A heading without text of its own stands with the next one."""
    if all(section.level == 0 for section in document.sections) and document.pages:
        yield from (Passage(page.start, page.end, f"page={page.number}") for page in document.pages)
        return
    start: int | None = None
    for index, section in enumerate(document.sections):
        start = section.start if start is None else start
        if section.body < section.end or index == len(document.sections) - 1:
            page = document.page_at(start)
            anchor = f"page={page}" if page is not None else (section.path[-1] if section.path else "")
            yield Passage(start, section.end, anchor[:_MAX_ANCHOR])
            start = None
