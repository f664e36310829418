"""The text part: BM25 as its formula says, words of every script, and any text as a question."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.data.knowledge.index import inverted_file
from llmos.data.knowledge.index.inverted_file import InvertedFileBuilder
from llmos.data.knowledge.index.text_part import K1, MAX_TERMS, B, TextPart
from llmos.data.knowledge.index.words import query_terms, terms_of
from support.examples import examples
from support.search_indexes import found_documents, make_index

WORDS = st.lists(st.sampled_from(["tea", "milk", "sugar", "cup", "茶", "牛奶", "ชา", "Tee"]), max_size=8).map(" ".join)


def open_text_part(folder: Path, texts: list[str]) -> TextPart:
    builder = InvertedFileBuilder()
    for text in texts:
        builder.add(terms_of(text))
    layout = builder.write(folder / "text")
    return TextPart((folder / "text").read_bytes(), layout)


def reference(texts: list[str], question: str) -> dict[int, float]:
    """Return the BM25 of each text with any of the question's words, term by term."""
    counts = [Counter(terms_of(text)) for text in texts]
    mean = sum(count.total() for count in counts) / len(counts)
    scores: dict[int, float] = {}
    for term in query_terms(question):
        having = [row for row, count in enumerate(counts) if term in count]
        idf = math.log(1 + (len(texts) - len(having) + 0.5) / (len(having) + 0.5))
        for row in having:
            norm = K1 * (1 - B + B * counts[row].total() / mean)
            scores[row] = scores.get(row, 0) + idf * (K1 + 1) * counts[row][term] / (counts[row][term] + norm)
    return scores


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(WORDS, min_size=1, max_size=12), question=WORDS, terms_at_once=st.sampled_from([1, 5, 1000]))
def test_scores_are_bm25(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], question: str, terms_at_once: int
) -> None:
    monkeypatch.setattr(inverted_file, "_TERMS_AT_ONCE", terms_at_once)
    found = open_text_part(tmp_path, texts).search(question, len(texts))
    assert dict(found) == pytest.approx(reference(texts, question), rel=1e-5)
    assert found == sorted(found, key=lambda each: (-each[1], each[0]))


def test_a_word_that_is_repeated_without_end_counts(tmp_path: Path) -> None:
    found = open_text_part(tmp_path, ["tea " * 300, "tea milk"]).search("tea", 10)
    assert [row for row, _ in found] == [0, 1]


def test_only_allowed_rows_are_found(tmp_path: Path) -> None:
    part = open_text_part(tmp_path, ["tea", "tea", "milk", "tea"])
    assert [row for row, _ in part.search("tea", 10, np.array([False, True, True, True]))] == [1, 3]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("我们使用人工智能技术", "技术"),
        ("我们使用人工智能技术", "智"),
        ("我們使用人工智慧", "智慧"),
        ("東京タワーへ行きました", "タワー"),
        ("ﾄｳｷｮｳ", "トウキョウ"),
        ("학교에서 공부했다", "학교"),
        ("학교에서 공부했다", "공부"),
        ("ประเทศไทยสวยงาม", "ไทย"),
        ("ພາສາລາວ", "ລາວ"),
        ("ភាសាខ្មែរ", "ខ្មែរ"),
        ("Ｃａｆé au lait", "cafe"),
        ("Größenwahn", "GROSSENWAHN"),
        ("हिन्दी भाषा", "भाषा"),
        ("𠮷野家", "𠮷野"),
        ("The kettles were boiling", "does a kettle boil"),
    ],
)
def test_a_word_is_found_however_it_is_written(tmp_path: Path, text: str, question: str) -> None:
    with make_index(tmp_path, ["something else entirely", text, "другое"]) as index:
        assert found_documents(index, question)[:1] == ["d1"]


CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x4E20), min_size=2, max_size=12)


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(CHINESE, min_size=1, max_size=8, unique=True))
def test_every_word_of_two_chinese_characters_is_found(tmp_path: Path, texts: list[str]) -> None:
    part = open_text_part(tmp_path, [f"第3章，{text}。" for text in texts])
    for row, text in enumerate(texts):
        for start in range(len(text) - 1):
            word = text[start : start + 2]
            assert row in [found for found, _ in part.search(word, len(texts))]
            assert row in [found for found, _ in part.search(word[0], len(texts))]


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.one_of(st.text(), st.text("\"'*^:(){}+-\0 ANDORNEAR\ud800茶")))
def test_any_text_is_a_question(tmp_path: Path, question: str) -> None:
    texts = ["and or not near", "茶 \ud800", 'quotes " in \0 texts']
    found = {row for row, _ in open_text_part(tmp_path, texts).search(question, 10)}
    wanted = set(terms_of(question))
    assert found == {row for row, text in enumerate(texts) if wanted & set(terms_of(text))}


@pytest.mark.parametrize(
    "question", ['"' * 100_000, "(" * 100_000, "word " * 20_000, "茶" * 100_000, "\ud800" * 100_000]
)
def test_a_huge_question_is_answered(tmp_path: Path, question: str) -> None:
    open_text_part(tmp_path, ["word", "茶"]).search(question, 10)


def test_of_a_huge_question_the_rarest_words_count(tmp_path: Path) -> None:
    many = [f"w{number}" for number in range(MAX_TERMS)]
    part = open_text_part(tmp_path, ["rare", *[" ".join([*many, "common"])] * 3, "common"])
    found = part.search(" ".join(["common", *many, "rare"]), 10)
    assert [row for row, _ in found] == [1, 2, 3, 0]
    assert [row for row, _ in part.search("common", 10)] == [4, 1, 2, 3]


def test_a_question_in_another_order_scores_the_same(tmp_path: Path) -> None:
    part = open_text_part(tmp_path, [f"a{number % 3} b{number % 5} c{number % 7} d e" for number in range(50)])
    assert part.search("a1 b2 c3 d e", 50) == part.search("e d c3 b2 a1", 50)
