"""Stems of English words, compared with SQLite's implementation of the same algorithm."""

import re
import sqlite3
from contextlib import closing
from pydoc_data.topics import topics

import pytest

from llmos.data.knowledge.index.stemming import stem


def test_stems_are_those_of_sqlite() -> None:
    words = sorted(set(re.findall("[a-z]+", " ".join(topics.values()).lower())))
    assert len(words) > 2000
    assert {word: stem(word) for word in words} == sqlite_stems(words)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ponies", "poni"),
        ("agreed", "agre"),
        ("hopping", "hop"),
        ("filing", "file"),
        ("happy", "happi"),
        ("relational", "relat"),
        ("formality", "formal"),
        ("adoption", "adopt"),
        ("opinion", "opinion"),
        ("controlling", "control"),
        ("as", "as"),
    ],
)
def test_examples_of_the_paper(word: str, expected: str) -> None:
    assert stem(word) == expected


def sqlite_stems(words: list[str]) -> dict[str, str]:
    """Return the stem that FTS5's tokenizer "porter" makes of each word."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE texts USING fts5(word, tokenize = 'porter ascii')")
        connection.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(texts, 'instance')")
        connection.executemany("INSERT INTO texts (rowid, word) VALUES (?, ?)", enumerate(words))
        return {words[row]: term for row, term in connection.execute("SELECT doc, term FROM stems")}
