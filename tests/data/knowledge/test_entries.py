"""Entries: what is written is read, the same bytes each time, plain or encrypted; damage is named."""

import numpy as np
import pytest

from llmos.core.encryption.sealed_path import SealedFolder
from llmos.core.errors import StoreFailed
from llmos.data.documents.chunks import ChunkRecipe, cut_chunks, text_of
from llmos.data.documents.parser_process import parse_content
from llmos.data.knowledge.entries import (
    Entry,
    EntryChunk,
    read_chunks,
    read_document,
    read_entry,
    read_facts,
    read_indexed,
    write_entry,
)
from support.knowledge_fixtures import words

TABLE = "\n".join(f"| row {number} | 数据 {number} |" for number in range(30))
TEXT = f"# 标题\n\nA first paragraph.\n\n## Rows\n\n| name | value |\n|---|---|\n{TABLE}\n"


@pytest.fixture
def entry():
    document = parse_content(TEXT.encode(), "a.md", 1 << 20)
    recipe = ChunkRecipe(max_tokens=40)
    chunks = [
        EntryChunk(chunk, text_of(document, chunk, recipe, lambda text: len(words(text))))
        for chunk in cut_chunks(document, recipe, lambda text: len(words(text)))
    ]
    vectors = np.random.default_rng(0).normal(size=(len(chunks), 5)).astype(np.float32)
    return Entry(document, chunks, vectors)


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_what_is_written_is_read(entry, tmp_path, is_encrypted):
    folder = SealedFolder.of(tmp_path) if is_encrypted else tmp_path
    path = folder / "entry"
    write_entry(path, entry)
    assert (b"markdown" in (tmp_path / "entry").read_bytes()) is not is_encrypted  # The format, in its head.
    found = read_entry(path)
    assert (found.document, found.chunks) == (entry.document, entry.chunks)
    assert np.array_equal(found.vectors, entry.vectors)
    assert read_chunks(path) == entry.chunks
    assert read_document(path) == entry.document
    assert read_facts(path) == entry.facts
    chunks, vectors = read_indexed(path)
    assert chunks == entry.chunks
    assert np.array_equal(vectors, entry.vectors)


def test_the_same_entry_gives_the_same_bytes(entry, tmp_path):
    write_entry(tmp_path / "one", entry)
    write_entry(tmp_path / "two", entry)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_quote_is_the_text_of_the_document_also_where_a_table_goes_on(entry):
    assert len(entry.chunks) > 3
    assert any(each.chunk.header for each in entry.chunks)
    for each in entry.chunks:
        assert each.quote == entry.document.text[each.chunk.start : each.chunk.end]


def test_an_entry_without_chunks_can_be_kept(entry, tmp_path):
    write_entry(tmp_path / "empty", Entry(entry.document, [], np.zeros((0, 0), np.float32)))
    assert read_entry(tmp_path / "empty").vectors.shape == (0, 0)


def test_a_damaged_entry_says_what_to_do(entry, tmp_path):
    path = tmp_path / "entry"
    write_entry(path, entry)
    content = path.read_bytes()
    for damaged in (b"", b"else", content[:9], content[:60], content[:-3], content[:40] + b"\xff" * 20 + content[60:]):
        path.write_bytes(damaged)
        with pytest.raises(StoreFailed, match=r"is missing or damaged. Run: llmos doctor --store"):
            read_entry(path)
    path.unlink()
    with pytest.raises(StoreFailed, match="is missing or damaged"):
        read_chunks(path)
