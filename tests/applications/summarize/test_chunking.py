"""Chunks: every sentence once, none longer than the count allows, however the text is cut."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.applications.summarize.chunking import chunks_of, passages_of
from llmos.core.sentences import Span, sentences_in

FRAME = 10


async def count_words(text: str) -> int:
    return FRAME + len(text.split())


async def count_chars(text: str) -> int:
    return FRAME + len(text)


def cut(text: str, room: int, count: object = count_words) -> list[Span]:
    return asyncio.run(chunks_of(text, room, count))  # type: ignore[arg-type]


def test_a_short_text_is_one_chunk_and_an_empty_one_none() -> None:
    assert cut("One sentence.", 100) == [(0, 13)]
    assert cut("", 100) == []
    assert cut(" \n ", 100) == []


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(40, 200))
def test_no_chunk_is_longer_than_the_room_and_no_sentence_is_lost(sizes: list[int], room: int) -> None:
    text = " ".join("Word" + " word" * (size - 1) + "." for size in sizes)
    chunks = cut(text, room)
    assert all(FRAME + len(text[start:end].split()) <= room for start, end in chunks)
    assert [each for span in chunks for each in text[slice(*span)].split()] == text.split()
    assert sum(sizes) + FRAME > room or len(chunks) == 1


def test_chunks_end_where_sentences_end() -> None:
    text = "A short one. " * 500
    ends = {end for _, end in sentences_in(text)}
    chunks = cut(text, 100)
    assert len(chunks) > 10
    assert {end for _, end in chunks} <= ends


@pytest.mark.parametrize("text", ["word " * 40_000, "x" * 200_000, "漢字" * 100_000])
def test_a_line_of_200_kb_without_a_sentence_is_cut_between_words_or_characters(text: str) -> None:
    chunks = cut(text, 5_000, count_chars)
    assert "".join(text[slice(*span)] for span in chunks).split() == text.split()
    assert max(end - start for start, end in chunks) <= 5_000
    assert not text.startswith("word") or all(text[start] == "w" for start, _ in chunks)


def test_a_part_with_more_tokens_than_the_rest_is_halved_until_it_fits() -> None:
    sparse = "Extraordinarily longwinded terminology characterizes unpronounceable bureaucratic documentation. "
    text = sparse * 300 + "A b c d e f g h i j k. " * 300 + sparse * 300
    chunks = cut(text, 100)
    assert max(FRAME + len(text[start:end].split()) for start, end in chunks) <= 100
    assert [each for span in chunks for each in text[slice(*span)].split()] == text.split()


def test_a_room_without_place_for_anything_still_ends() -> None:
    assert [end - start for start, end in cut("abcd", 1, count_chars)] == [1, 1, 1, 1]


@pytest.mark.thorough
def test_a_text_of_5_mb_is_counted_about_once_for_each_chunk() -> None:
    calls = 0

    async def count(text: str) -> int:
        nonlocal calls
        calls += 1
        return await count_words(text)

    chunks = cut("This is one of many sentences. " * 160_000, 1_500, count)
    assert len(chunks) > 600
    assert calls < 1.1 * len(chunks) + 10


def test_passages_are_whole_sentences_of_similar_size() -> None:
    text = "A sentence of text. " * 120
    passages = passages_of(text, (0, len(text)), 6)
    assert 5 <= len(passages) <= 8
    assert all(text[start:end].endswith("text.") for start, end in passages)
