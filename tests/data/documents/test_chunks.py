"""Chunks lie in sections, cover them, and have as many tokens as the recipe says at most; sentences are spans."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.data.documents.chunks import Chunk, ChunkRecipe, cut_chunks, cut_sentences, read_recipe, text_of
from llmos.data.documents.document import Document
from llmos.data.documents.parser_process import parse_content
from support.document_files import make_pdf

RECIPE = ChunkRecipe(max_tokens=16)


def count(text: str) -> int:
    """Count words and characters of Chinese, as a tokenizer might."""
    return len(text.split()) + sum("一" <= each <= "鿿" for each in text)


def cut(document: Document, recipe: ChunkRecipe = RECIPE) -> list[Chunk]:
    return list(cut_chunks(document, recipe, count))


def texts(document: Document, recipe: ChunkRecipe = RECIPE) -> list[str]:
    return [text_of(document, chunk, recipe, count) for chunk in cut(document, recipe)]


def markdown(text: str) -> Document:
    return parse_content(text.encode(), "a.md", 1_000_000)


def test_a_section_that_fits_is_one_chunk_below_its_headings():
    document = markdown("Intro 你好.\n\n# Guide\n\n## Returns\n\nWithin 30 days.\n\n- a\n- b\n\n# Empty\n")
    assert texts(document) == ["Intro 你好.", "Guide > Returns\n\nWithin 30 days.\n\n- a\n- b", "Empty\n\n# Empty"]
    assert [document.text[chunk.start : chunk.end] for chunk in cut(document)][1] == "Within 30 days.\n\n- a\n- b"


def test_a_long_section_is_cut_between_sentences():
    document = markdown("# A\n\n" + "One two three four. " * 5)
    assert texts(document) == [
        "A\n\nOne two three four. One two three four. One two three four.",
        "A\n\nOne two three four. One two three four.",
    ]


def test_chunks_overlap_as_the_recipe_says():
    document = markdown("One two three four five. " * 8)
    chunks = cut(document, ChunkRecipe(max_tokens=16, overlap_tokens=6))
    assert all(later.start < earlier.end for earlier, later in pairwise(chunks))


def test_each_piece_of_a_long_table_has_its_header():
    rows = "".join(f"| item {number} | {number} euros |\n" for number in range(4))
    document = markdown(f"# Prices\n\nBefore.\n\n| Name | Price |\n|---|---|\n{rows}\nAfter.\n")
    header = "| Name | Price |\n|---|---|\n"
    assert texts(document, ChunkRecipe(max_tokens=32)) == [
        "Prices\n\nBefore.",
        f"Prices\n\n{header}| item 0 | 0 euros |\n| item 1 | 1 euros |\n| item 2 | 2 euros |",
        f"Prices\n\n{header}| item 3 | 3 euros |",
        "Prices\n\nAfter.",
    ]


def test_chunks_name_their_pages():
    document = parse_content(make_pdf(["One two three four."] * 4, ["Five six seven."] * 4), "a.pdf", 1000)
    assert {chunk.page for chunk in cut(document)} == {1, 2}


@given(
    st.lists(
        st.sampled_from(["# A", "## B", "word " * 9, "A sentence. " * 9, "你好。" * 9, "| a |\n|---|\n| b c |\n| d |"])
    ),
    st.integers(16, 40),
)
def test_chunks_cover_sections_and_keep_to_the_limit(blocks, max_tokens):
    try:
        document = markdown("\n\n".join(blocks))
    except BadRequest:
        return
    recipe = ChunkRecipe(max_tokens=max_tokens)
    chunks = cut(document, recipe)
    for chunk in chunks:
        assert count(text_of(document, chunk, recipe, count)) <= max_tokens
    covered = "".join(document.text[chunk.start : chunk.end] for chunk in chunks)
    headerless = "".join(document.text[section.body : section.end] for section in document.sections)
    for letter in set(filter(str.isalnum, headerless)) - set("AB"):
        assert covered.count(letter) >= headerless.count(letter) - sum(chunk.header is not None for chunk in chunks)


def test_a_recipe_is_plain_json():
    recipe = ChunkRecipe(max_tokens=100, overlap_tokens=10)
    assert read_recipe(msgspec.to_builtins(recipe)) == recipe
    assert msgspec.to_builtins(ChunkRecipe()) == {"version": 1, "max_tokens": 256, "overlap_tokens": 0}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"max_tokens": 3}, "Expected `int` >= 16"),
        ({"size": 3}, "unknown field"),
        ({"max_tokens": 100, "overlap_tokens": 60}, "can't overlap by 60"),
        ({"version": 9}, "has version 9"),
    ],
)
def test_a_wrong_recipe_says_why(fields, reason):
    with pytest.raises(BadRequest, match=reason):
        read_recipe(fields)


@pytest.mark.parametrize(
    ("text", "language", "sentences"),
    [
        ("Herr Dr. Müller kam.  Er blieb!\n\nEnde", "de-DE", ["Herr Dr. Müller kam.", "Er blieb!", "Ende"]),
        ("第一句。第二句！ 第三句", "zh", ["第一句。", "第二句！", "第三句"]),
        ("One. Two?", None, ["One.", "Two?"]),
        ("", "en", []),
    ],
)
def test_sentences_are_spans_of_the_text(text, language, sentences):
    assert [text[start:end] for start, end in cut_sentences(text, language)] == sentences
