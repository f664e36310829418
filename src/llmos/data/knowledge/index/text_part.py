"""The text part of an index: BM25 in SQLite's FTS5. A chunk's row number is its place in the index.

Knows terms and row numbers only. No user's text is FTS5's query language: terms are letters and digits, quoted.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.data.knowledge.index.connections import Connections
from llmos.data.knowledge.index.words import query_terms, terms_of

ROW_BUDGET = 10_000
"""The rows that FTS5 may score for a question before it leaves the commonest terms out."""

MAX_TERMS = 128
"""The terms of a question that are looked up."""

Mask = npt.NDArray[np.bool_]

_SCHEMA = """
PRAGMA page_size = 4096;
PRAGMA auto_vacuum = NONE;
PRAGMA encoding = 'UTF-8';
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE VIRTUAL TABLE chunks USING fts5(terms, content='', tokenize='ascii');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(chunks, 'row');
CREATE TABLE common_terms (term TEXT PRIMARY KEY, num_rows INTEGER NOT NULL) WITHOUT ROWID;
"""

_COMMON = 64
"""The rows from which on the count of a term is stored. Of rarer ones, counting them is quick."""


def write_text_part(path: Path, texts: Iterable[str]) -> None:
    """Write the text part. The same texts give the same bytes with the same SQLite."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
        rows = ((row, " ".join(terms_of(text))) for row, text in enumerate(texts))
        connection.executemany("INSERT INTO chunks (rowid, terms) VALUES (?, ?)", rows)
        connection.execute("INSERT INTO chunks (chunks) VALUES ('optimize')")
        connection.execute(
            "INSERT INTO common_terms SELECT term, doc FROM vocabulary WHERE doc >= ? ORDER BY term", (_COMMON,)
        )
        connection.execute("COMMIT")
        connection.execute("VACUUM")


class TextPart:
    """Any thread may use it."""

    def __init__(self, source: Path | bytes, num_rows: int) -> None:
        """Open it. Raises BadModelFile for a damaged file."""
        self._connections = Connections(source)
        self._num_rows = num_rows
        with self._using() as connection:
            connection.execute("SELECT count(*) FROM common_terms").fetchone()

    def search(self, text: str, limit: int, allowed: Mask | None = None) -> list[tuple[int, float]]:
        """Return the best rows with their BM25, best first; equal ones in the order of rows.

        `allowed`: the rows that may be found. Nothing is found without a word. Raises BadModelFile.
        """
        found: list[tuple[int, float]] = []
        with self._using() as connection:
            counts = _counts(connection, query_terms(text))
            for terms in _selections(counts, self._num_rows):
                found = _best(connection, terms, limit, allowed)
                if len(found) >= limit:
                    break
        return found

    def close(self) -> None:
        self._connections.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connections.use() as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise BadModelFile(f"The text part of a search index can't be read: {error}.") from None


def _counts(connection: sqlite3.Connection, terms: list[str]) -> dict[str, int]:
    """Return in how many rows each term is that is in any, rarest first."""
    counts = {}
    for term in terms:
        found = connection.execute("SELECT num_rows FROM common_terms WHERE term = ?", (term,)).fetchone()
        found = found or connection.execute("SELECT doc FROM vocabulary WHERE term = ?", (term,)).fetchone()
        if found is not None:
            counts[term] = found[0]
    return dict(sorted(counts.items(), key=lambda item: item[1])[:MAX_TERMS])


def _selections(counts: dict[str, int], num_rows: int) -> Iterator[list[str]]:
    """Yield the terms to search for, rarest first: those within the budget, then more of them.

    A term in more than half of all rows has no weight in BM25.
    """
    terms = list(counts)
    if num_rows > ROW_BUDGET:
        terms = [term for term in terms if 2 * counts[term] <= num_rows] or terms[:1]
    budget, end = ROW_BUDGET, 0
    while end < len(terms):
        end += 1
        while end < len(terms) and sum(counts[term] for term in terms[: end + 1]) <= budget:
            end += 1
        yield terms[:end]
        budget *= 4


def _best(
    connection: sqlite3.Connection, terms: list[str], limit: int, allowed: Mask | None
) -> list[tuple[int, float]]:
    query = " OR ".join(f'"{term}"' for term in terms)
    sql = "SELECT rowid, -rank FROM chunks WHERE chunks MATCH ? {} ORDER BY rank, rowid"
    if allowed is None:
        return connection.execute(sql.format("") + " LIMIT ?", (query, limit)).fetchall()
    rows = np.flatnonzero(allowed)
    if not len(rows):
        return []
    found = connection.execute(sql.format("AND rowid BETWEEN ? AND ?"), (query, int(rows[0]), int(rows[-1])))
    with closing(found):
        return _first((each for each in found if allowed[each[0]]), limit)


def _first(found: Iterator[tuple[int, float]], limit: int) -> list[tuple[int, float]]:
    return [each for each, _ in zip(found, range(limit), strict=False)]
