"""Document: the text of a file as Markdown, and what is known of its places."""

from bisect import bisect_right

import msgspec

PARSER_VERSION = 1
"""Raised when the same file gives another document. It is a part of the digest of what is made with documents."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A heading with the text up to the next one. Sections cover the text, in order, without overlapping."""

    path: tuple[str, ...]
    """The titles of the headings above it, and its own; empty for text before the first heading."""
    level: int
    """1 to 6; 0 for text before the first heading."""
    page: int | None
    """The page on which it begins, from 1 on; None where the format has no pages."""
    start: int
    """text[start:end] is the section, its heading included."""
    end: int
    body: int
    """The position at which the text behind the heading begins. Equal to `end` for a heading alone."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table in the text, as Markdown. Its first row is its header."""

    start: int
    end: int
    num_rows: int
    """Rows without the header."""
    num_columns: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page with text."""

    number: int
    """From 1 on, as the pages lie in the file."""
    start: int
    end: int


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the file that isn't in the text."""

    what: str
    """A fixed word: image, navigation, page_without_text and others."""
    count: int
    characters: int
    """Letters and digits of it that were found, where it has any."""
    detail: str | None = None
    """A sentence, such as which pages."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    """Markdown, with "\\n" at the ends of lines; no control characters, no lone surrogates."""
    sections: tuple[Section, ...]
    tables: tuple[Table, ...]
    pages: tuple[Page, ...]
    """The pages with text, in order; empty if the format has no pages."""
    title: str | None
    language: str | None
    """As the file says, such as "de" or "en-US"."""
    format: str
    """The name of a module in parsers/."""
    digest: str
    """The SHA-256 of the file, in hexadecimal digits."""
    num_bytes: int
    found_characters: int
    """Letters and digits that the file has as text."""
    kept_characters: int
    """The part of these characters that is in `text`."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    """Sentences about how the file was read, such as a guessed encoding."""

    @property
    def kept(self) -> float:
        """The share of the found letters and digits that is in the text, from 0 to 1."""
        return self.kept_characters / self.found_characters if self.found_characters else 1.0

    def section_at(self, offset: int) -> Section | None:
        """Return the section that a character belongs to; None for an empty document."""
        index = bisect_right(self.sections, offset, key=lambda each: each.start) - 1
        return self.sections[index] if index >= 0 else None

    def page_at(self, offset: int) -> int | None:
        """Return the number of the page that a character stands on; None where the format has no pages."""
        index = bisect_right(self.pages, offset, key=lambda each: each.start) - 1
        return self.pages[max(index, 0)].number if self.pages else None
