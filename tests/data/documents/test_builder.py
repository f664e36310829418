"""A document from blocks: clean text, places that stay true, and how much of the found text is in it."""

from hypothesis import given
from hypothesis import strategies as st

from llmos.data.documents.builder import DocumentBuilder, Source, clean

SOURCE = Source("text", "0" * 64, 1)


@given(st.text(st.characters(codec=None)))
def test_clean_text_can_be_encoded_and_has_no_control_characters(text):
    cleaned = clean(text)
    cleaned.encode()
    assert not any(ord(each) < 32 and each not in "\t\n" for each in cleaned)
    assert clean(cleaned) == cleaned


def test_line_ends_are_newlines_and_lone_surrogates_are_replaced():
    assert clean("a\r\nb\rc\u2028d\x00e\ud800f\ufeffg") == "a\nb\nc\nde\ufffdfg"


@given(st.lists(st.text(max_size=20), max_size=10), st.integers(1, 3))
def test_pages_are_spans_of_their_blocks(blocks, per_page):
    builder = DocumentBuilder(10_000)
    starts = []
    for index, block in enumerate(blocks):
        builder.start_page(index // per_page + 1)
        starts.append(builder.add_block(block))
    document = builder.finish(SOURCE)
    for index, (start, block) in enumerate(zip(starts, blocks, strict=True)):
        expected = clean(block).strip("\n").rstrip()
        assert document.text[start : start + len(expected)] == expected
        if expected:
            assert document.page_at(start) == index // per_page + 1


def test_text_that_is_found_and_not_added_lowers_what_was_kept():
    builder = DocumentBuilder(100)
    builder.find("abcd 12")
    builder.add_block("1. ab")
    builder.add_own("1.")
    builder.leave_out("form", "cd")
    document = builder.finish(SOURCE)
    assert (document.found_characters, document.kept_characters, document.kept) == (6, 2, 2 / 6)
    assert [(each.what, each.count, each.characters) for each in document.left_out] == [("form", 1, 2)]


def test_headings_without_a_level_between_stand_below_the_last_higher_one():
    builder = DocumentBuilder(1000)
    for level, title in ((2, "A"), (4, "B"), (3, "C"), (1, "D")):
        builder.add_heading(level, title)
    paths = [section.path for section in builder.finish(SOURCE).sections]
    assert paths == [("A",), ("A", "B"), ("A", "C"), ("D",)]


def test_a_very_long_heading_is_short_in_paths():
    builder = DocumentBuilder(10_000)
    builder.add_heading(1, "word " * 1000)
    (section,) = builder.finish(SOURCE).sections
    assert (len(section.path[0]), section.end) == (500, len("# ") + 4999)
