"""DocumentBuilder: blocks, headings, tables and pages, one after the other, to a Document."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llmos.data.documents.document import Document, LeftOut, Page, Section, Table
from llmos.data.documents.markdown_table import render_table

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufeff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")

_MAX_LISTED = 20
_MAX_TITLE = 500
"""The most characters of a heading in paths. Each section below has it again."""


class TooMuchText(Exception):
    """The text is longer than the limit."""


class Source(NamedTuple):
    """The file that a document is of."""

    format: str
    digest: str
    num_bytes: int


def clean(text: str) -> str:
    """Return the text with "\\n" at the ends of lines, without control characters and lone surrogates."""
    return _SURROGATES.sub("\ufffd", _DROPPED.sub("", _LINE_ENDS.sub("\n", text)))


def letters(text: str) -> Counter[str]:
    """Count the letters and digits of a text: what is compared between a file and its text."""
    return Counter({each: count for each, count in Counter(text).items() if each.isalnum()})


class _Heading(NamedTuple):
    start: int
    level: int
    title: str
    end: int


@dataclass(slots=True)
class _Omission:
    count: int = 0
    characters: int = 0
    pages: dict[int, None] = field(default_factory=dict)
    """Each once, in order."""


class DocumentBuilder:
    """Collects the text of one document. Spans are those of the final text: nothing moves afterwards."""

    def __init__(self, max_characters: int) -> None:
        self.title: str | None = None
        self.language: str | None = None
        self.notes: list[str] = []
        self._max_characters = max_characters
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[_Heading] = []
        self._tables: list[Table] = []
        self._pages: list[Page] = []
        self._page: int | None = None
        self._found: Counter[str] = Counter()
        self._added: Counter[str] = Counter()
        self._left_out: dict[str, _Omission] = {}

    @property
    def is_empty(self) -> bool:
        return not self._length

    def start_page(self, number: int) -> None:
        """Let the blocks that follow be on this page."""
        self._page = number

    def add_block(self, text: str, *, is_tight: bool = False) -> int:
        """Add a paragraph or another block, and return where it begins. `is_tight`: without an empty line before it."""
        text = clean(text).strip("\n").rstrip()
        if not text:
            return self._length
        separator = "" if not self._length else "\n" if is_tight else "\n\n"
        start = self._length + len(separator)
        self._length = start + len(text)
        if self._length > self._max_characters:
            raise TooMuchText
        self._parts += [separator, text]
        if self._page is not None:
            is_same = bool(self._pages) and self._pages[-1].number == self._page
            begins = self._pages.pop().start if is_same else start
            self._pages.append(Page(number=self._page, start=begins, end=self._length))
        return start

    def add_heading(self, level: int, title: str) -> None:
        title = " ".join(clean(title).split())
        if title:
            start = self.add_block(f"{'#' * level} {title}")
            self.mark_heading(start, self._length, level, title)

    def mark_heading(self, start: int, end: int, level: int, title: str) -> None:
        """Let text[start:end], which is there already, be a heading. Headings are marked in order."""
        self._headings.append(_Heading(start, level, title[:_MAX_TITLE], end))

    def add_table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table, whose first row is its header. A table without any text is left out."""
        if any(cell.strip() for row in rows for cell in row):
            start = self.add_block(render_table([[clean(cell) for cell in row] for row in rows]))
            self.mark_table(start, self._length, len(rows) - 1, max(map(len, rows)))

    def mark_table(self, start: int, end: int, num_rows: int, num_columns: int) -> None:
        """Let text[start:end], which is there already, be a table."""
        self._tables.append(Table(start=start, end=end, num_rows=num_rows, num_columns=num_columns))

    def find(self, text: str) -> None:
        """Count text that the file has, whether it is kept or not."""
        self._found += letters(text)

    def add_own(self, text: str) -> None:
        """Count text of a block that isn't in the file, such as the number of a list's item."""
        self._added += letters(text)

    def leave_out(self, what: str, text: str = "", *, page: int | None = None) -> None:
        """Count something that isn't in the document. `text`: its text, which find() was told of as well."""
        omission = self._left_out.setdefault(what, _Omission())
        omission.count += 1
        omission.characters += letters(text).total()
        if page is not None:
            omission.pages[page] = None

    def finish(self, source: Source) -> Document:
        """Return the document."""
        text = "".join(self._parts)
        found = self._found
        kept = (found & (letters(text) - self._added)).total()
        return Document(
            text=text,
            sections=tuple(self._sections(text)),
            tables=tuple(self._tables),
            pages=tuple(self._pages),
            title=self._title(),
            language=self.language if self.language and _LANGUAGE.fullmatch(self.language) else None,
            format=source.format,
            digest=source.digest,
            num_bytes=source.num_bytes,
            found_characters=found.total(),
            kept_characters=kept,
            left_out=tuple(
                LeftOut(what=what, count=each.count, characters=each.characters, detail=_detail([*each.pages]))
                for what, each in self._left_out.items()
            ),
            notes=tuple(self.notes),
        )

    def _title(self) -> str | None:
        """Return the title that the file says, or else its first heading of the first level."""
        said = " ".join(clean(self.title or "").split())
        return said or next((each.title for each in self._headings if each.level == 1), None)

    def _sections(self, text: str) -> list[Section]:
        if not text:
            return []
        headings = [*self._headings]
        if not headings or text[: headings[0].start].strip():
            headings.insert(0, _Heading(0, 0, "", 0))
        sections, above = [], list[_Heading]()
        for index, heading in enumerate(headings):
            while above and above[-1].level >= heading.level:
                above.pop()
            if heading.level:
                above.append(heading)
            limit = headings[index + 1].start if index + 1 < len(headings) else len(text)
            end = heading.start + len(text[heading.start : limit].rstrip())
            body = min(end, heading.end + len(text[heading.end : end]) - len(text[heading.end : end].lstrip()))
            sections.append(
                Section(
                    path=tuple(each.title for each in above),
                    level=heading.level,
                    page=self._page_at(heading.start),
                    start=heading.start,
                    end=end,
                    body=body,
                )
            )
        return sections

    def _page_at(self, offset: int) -> int | None:
        index = bisect_right(self._pages, offset, key=lambda each: each.start) - 1
        return self._pages[index].number if index >= 0 else None


def _detail(pages: Sequence[int]) -> str | None:
    if not pages:
        return None
    listed = ", ".join(map(str, pages[:_MAX_LISTED])) + (" and others" if len(pages) > _MAX_LISTED else "")
    return f"On {'page' if len(pages) == 1 else 'pages'} {listed}."
