"""Parquet files that this project writes itself: duckdb reads the values that were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.parquet_writer import Identifiers, OptionalTexts, Texts, encode_parquet

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.tuples(st.binary(min_size=32, max_size=32), TEXTS, st.none() | TEXTS)


def written(path, rows):
    """Write rows of (identifier, text, optional text), and return the file."""
    columns = [
        Identifiers("id", [id.hex() for id, _, _ in rows]),
        Texts("content", [text.encode() for _, text, _ in rows]),
        OptionalTexts("note", [note for _, _, note in rows]),
    ]
    path.write_bytes(encode_parquet(columns))
    return path


def read(path, query="SELECT * FROM read_parquet(?)"):
    with open_columnar() as connection:
        return connection.execute(query, [str(path)]).fetchall()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "rows.parquet"


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_any_rows_are_read_as_they_were_written(path, rows):
    assert read(written(path, rows)) == rows


@pytest.mark.parametrize("num_rows", [1, 7, 8, 9, 1000, 70_000])
def test_texts_that_some_rows_lack(path, num_rows):
    rows = [(bytes(32), "x", None if index % 3 else str(index)) for index in range(num_rows)]
    assert read(written(path, rows)) == rows


def test_a_column_of_several_pages(path):
    rows = [(bytes([index]) * 32, str(index) * 600_000, None) for index in range(10)]
    assert read(written(path, rows)) == rows
    assert read(path, "SELECT content FROM read_parquet(?) LIMIT 1 OFFSET 7") == [(rows[7][1],)]


def test_the_columns_have_types_and_names(path):
    written(path, [(bytes(32), "x", None)])
    found = read(path, "DESCRIBE SELECT * FROM read_parquet(?)")
    assert [row[:2] for row in found] == [("id", "BLOB"), ("content", "VARCHAR"), ("note", "VARCHAR")]


def test_more_columns_than_a_short_list_counts(path):
    path.write_bytes(encode_parquet([Texts(f"column_{index}", [str(index).encode()]) for index in range(40)]))
    assert read(path) == [tuple(str(index) for index in range(40))]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [(bytes([index]) * 32, "text", "note") for index in range(100)]
    assert written(tmp_path / "one", rows).read_bytes() == written(tmp_path / "other", rows).read_bytes()
