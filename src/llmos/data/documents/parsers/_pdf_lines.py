"""The lines of a PDF's pages with the size of their letters, and which of them are headings or repeat on every page."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]{2}")

_LARGER = 1.15
"""A heading's letters are at least this much larger than those of the text."""
_MAX_HEADING = 200
"""The most characters of a heading."""
_MAX_SHARE = 0.4
"""If more than this share of the text looks like headings, none is one."""
_MIN_PAGES = 4
"""The fewest pages on which lines are looked for that repeat."""
_REPEATED_SHARE = 0.6
"""A line repeats if it is at the same end of at least this share of the pages."""


@dataclass(slots=True)
class PdfLine:
    page: int
    text: str
    size: float
    """The size of most of its letters, in points."""
    level: int = 0
    """1 to 6 for a heading."""


def lines_of(page: Any, number: int) -> Iterator[PdfLine]:
    """Yield the lines of a page, a PageObject of pypdf, in reading order."""
    fragments: list[tuple[str, float]] = []

    def visit(text: str, matrix: Sequence[float], text_matrix: Sequence[float], font: object, size: float) -> None:
        if text:
            fragments.append((text, round(2 * size * _scale(matrix) * _scale(text_matrix)) / 2))

    page.extract_text(visitor_text=visit)
    line, sizes = list[str](), Counter[float]()
    for text, size in fragments:
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        line.append(first)
        sizes[size] += len(first.strip())
        for other in others:
            yield _line(number, line, sizes)
            line, sizes = [other], Counter({size: len(other.strip())})
    yield _line(number, line, sizes)


def _line(number: int, parts: Iterable[str], sizes: Counter[float]) -> PdfLine:
    return PdfLine(number, " ".join("".join(parts).split()), max(sizes, key=lambda each: sizes[each], default=0))


def _scale(matrix: Sequence[float]) -> float:
    return math.sqrt(abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]))


def mark_by_outline(lines: Sequence[PdfLine], outline: Iterable[tuple[int, int, str]]) -> int:
    """Make those lines headings that an outline of (page, level, title) names, and return how many there are."""
    by_page: dict[int, list[PdfLine]] = {}
    for line in lines:
        by_page.setdefault(line.page, []).append(line)
    num_found = 0
    for page, level, title in outline:
        wanted = _key(title)
        for line in by_page.get(page, ()):
            if wanted and not line.level and _key(line.text) == wanted:
                line.level = min(level, 6)
                num_found += 1
                break
    return num_found


def mark_by_size(lines: Sequence[PdfLine]) -> None:
    """Make those lines headings whose letters are larger than those of most of the text."""
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    if not sizes:
        return
    body = max(sizes, key=lambda each: sizes[each])
    larger = [
        line
        for line in lines
        if line.size >= _LARGER * body and len(line.text) <= _MAX_HEADING and _WORD.search(line.text)
    ]
    if sum(len(line.text) for line in larger) > _MAX_SHARE * sizes.total():
        return
    levels = {size: level for level, size in enumerate(sorted({line.size for line in larger}, reverse=True), 1)}
    for line in larger:
        line.level = min(levels[line.size], 6)


def split_repeated(lines: Sequence[PdfLine]) -> tuple[list[PdfLine], list[PdfLine]]:
    """Return the lines, and those that only repeat at the top or bottom of most pages, such as page numbers.

    The first one of those with words stays.
    """
    pages: dict[int, list[PdfLine]] = {}
    for line in lines:
        pages.setdefault(line.page, []).append(line)
    if len(pages) < _MIN_PAGES:
        return list(lines), []
    repeated: set[int] = set()
    for end in (0, -1):
        keys = {page: _key(_DIGITS.sub("0", found[end].text)) for page, found in pages.items()}
        for key, count in Counter(keys.values()).items():
            if key and count >= _REPEATED_SHARE * len(pages):
                found = [pages[page][end] for page in keys if keys[page] == key]
                repeated |= {id(line) for line in (found[1:] if _WORD.search(found[0].text) else found)}
    return [line for line in lines if id(line) not in repeated], [line for line in lines if id(line) in repeated]


def _key(text: str) -> str:
    """Return the letters and digits of a text, which are the same however it is spaced."""
    return "".join(each for each in text.casefold() if each.isalnum())
