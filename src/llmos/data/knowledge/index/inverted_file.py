"""The inverted file of a text part: for each term the rows that have it, and how often. Plain arrays in one file.

posting_starts   int64   [terms + 1]   a term's postings are those from posting_starts[term] on
term_starts      int64   [terms + 1]   its spelling is the bytes from term_starts[term] on
rows             uint32  [postings]    ascending for each term
lengths          uint32  [rows]        the terms of each row
counts           uint8   [postings]    how often the row has the term; 255 also for more
spellings        bytes                 the terms in ascending order, UTF-8
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.data.knowledge.index.files import Content

_TERMS_AT_ONCE = 1 << 20
"""The terms that are sorted together while a file is built. They take some 50 bytes each for that time."""

_MAX_COUNT = 255

Int64s = npt.NDArray[np.int64]
Uint32s = npt.NDArray[np.uint32]
Uint8s = npt.NDArray[np.uint8]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of the arrays."""

    num_terms: int
    num_postings: int
    num_rows: int
    spelling_bytes: int


class InvertedFile:
    """Any thread may use it."""

    def __init__(self, content: Content, layout: Layout) -> None:
        """Open it. Raises BadModelFile if the content doesn't have this layout."""
        parts = _Parts(content)
        self._posting_starts = parts.take("<i8", layout.num_terms + 1)
        self._term_starts = parts.take("<i8", layout.num_terms + 1)
        self._rows = parts.take("<u4", layout.num_postings)
        self.lengths: Uint32s = parts.take("<u4", layout.num_rows)
        self._counts = parts.take("u1", layout.num_postings)
        self._spellings = memoryview(content)[parts.end :]
        if len(self._spellings) != layout.spelling_bytes:
            raise _damaged()

    def __len__(self) -> int:
        return len(self._posting_starts) - 1

    def __getitem__(self, term: int) -> bytes:
        """Return the spelling of a term."""
        start, end = self._term_starts[term : term + 2].tolist()
        return bytes(self._spellings[start:end])

    def find(self, spelling: str) -> int | None:
        """Return the index of a term, or None if no row has it."""
        wanted = spelling.encode()
        term = bisect_left(self, wanted)
        return term if term < len(self) and self[term] == wanted else None

    def num_rows(self, term: int) -> int:
        """Return how many rows have the term."""
        start, end = self._posting_starts[term : term + 2].tolist()
        return int(end - start)

    def postings(self, term: int) -> tuple[Uint32s, Uint8s]:
        """Return the rows that have the term, and how often each."""
        start, end = self._posting_starts[term : term + 2].tolist()
        return self._rows[start:end], self._counts[start:end]


class _Block(NamedTuple):
    """Postings of consecutive rows, ordered by term and row."""

    terms: Uint32s
    rows: Uint32s
    counts: Uint8s


class InvertedFileBuilder:
    """Collects the terms of rows, in the order of rows."""

    def __init__(self) -> None:
        self._terms: dict[str, int] = {}
        self._collected: list[int] = []
        self._lengths: list[int] = []
        self._num_sorted = 0
        self._blocks: list[_Block] = []

    def add(self, terms: Iterable[str]) -> None:
        """Add a row."""
        known, before = self._terms, len(self._collected)
        self._collected.extend([known.setdefault(term, len(known)) for term in terms])
        self._lengths.append(len(self._collected) - before)
        if len(self._collected) >= _TERMS_AT_ONCE:
            self._sort()

    def write(self, path: Path) -> Layout:
        """Write the file. Raises OSError if the disk is full."""
        self._sort()
        spellings = sorted(self._terms)
        encoded = [spelling.encode() for spelling in spellings]
        order = np.empty(len(spellings), np.uint32)  # The place of each collected term among the sorted ones.
        order[[self._terms[spelling] for spelling in spellings]] = np.arange(len(spellings))
        blocks = [block._replace(terms=order[block.terms]) for block in self._blocks]
        sizes = sum(
            (np.bincount(block.terms, minlength=len(order)) for block in blocks), np.zeros(len(order), np.int64)
        )
        starts = np.concatenate([[0], np.cumsum(sizes)])
        rows, counts = _merge(blocks, starts)
        with path.open("wb") as file:
            for array, kind in (
                (starts, "<i8"),
                (np.concatenate([[0], np.cumsum([len(each) for each in encoded])]), "<i8"),
                (rows, "<u4"),
                (self._lengths, "<u4"),
                (counts, "u1"),
            ):
                file.write(np.ascontiguousarray(array, kind).data)
            file.write(b"".join(encoded))
        return Layout(
            num_terms=len(order),
            num_postings=len(rows),
            num_rows=len(self._lengths),
            spelling_bytes=sum(map(len, encoded)),
        )

    def _sort(self) -> None:
        """Make a block of what was collected."""
        lengths = self._lengths[self._num_sorted :]
        rows = np.repeat(np.arange(self._num_sorted, len(self._lengths), dtype=np.uint64), lengths)
        keys = np.array(self._collected, np.uint64) << np.uint64(32) | rows
        keys, counts = np.unique(keys, return_counts=True)
        self._blocks.append(
            _Block(
                (keys >> np.uint64(32)).astype(np.uint32),
                keys.astype(np.uint32),
                np.minimum(counts, _MAX_COUNT).astype(np.uint8),
            )
        )
        self._num_sorted = len(self._lengths)
        self._collected = []


def _merge(blocks: Sequence[_Block], starts: Int64s) -> tuple[Uint32s, Uint8s]:
    """Return the rows and counts of all blocks by terms. Blocks have ascending rows, so nothing is sorted again."""
    rows, counts = np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.uint8)
    free = starts[:-1].copy()
    for block in blocks:
        is_first = np.diff(block.terms, prepend=-1) != 0
        firsts = np.flatnonzero(is_first)
        sizes = np.diff(firsts, append=len(block.terms))
        places = np.repeat(free[block.terms[firsts]] - firsts, sizes) + np.arange(len(block.terms))
        rows[places], counts[places] = block.rows, block.counts
        free[block.terms[firsts]] += sizes
    return rows, counts


class _Parts:
    """Takes one array after another from bytes."""

    def __init__(self, content: Content) -> None:
        self._content, self.end = content, 0

    def take(self, kind: str, count: int) -> npt.NDArray[Any]:
        try:
            found = np.frombuffer(self._content, kind, count, self.end)
        except ValueError:
            raise _damaged() from None
        self.end += found.nbytes
        return found


def _damaged() -> BadModelFile:
    return BadModelFile("The text part of a search index is damaged. Build the index again.")
