"""Terms: the same word, however it is written, and words of scripts without spaces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.data.knowledge.index.words import MAX_TERM_LENGTH, query_terms, terms_of
from support.examples import examples


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The CAT's 3.14 snake_case", "the cat s 3 14 snake case"),
        ("Die Straße nach Köln", "die strass nach koln"),
        ("searching SEARCHES", "search search"),
        ("Łódź, Ærø, đường", "lodz aero duong"),
        ("ΣΊΣΥΦΟΣ ёлка", "σισυφοσ елка"),
        ("ｆｕｌｌ　ｗｉｄｔｈ　１２３ ² ﬁt", "full width 123 2 fit"),
        ("١٢٣ ४५", "123 45"),
        ("co\u00adoperate", "cooper"),
        ("مُحَمَّد", "محمد"),
        ("हिन्दी में", "हिन्दी में"),
        ("iPhone手机3号", "iphon 手 机 手机 3 号"),
        ("ｶﾞ", "ガ"),
        ("", ""),
        ('"* ^ - \0 \ud800 …', ""),
    ],
)
def test_terms_of_a_text(text: str, terms: str) -> None:
    assert list(terms_of(text)) == terms.split()


def test_scripts_without_spaces_are_cut_into_pairs() -> None:
    assert list(terms_of("人工智")) == ["人", "工", "智", "人工", "工智"]
    assert list(terms_of("智")) == ["智"]
    assert list(terms_of("학교에")) == ["학", "교", "에", "학교", "교에"]
    assert list(terms_of("ไทย")) == ["ไท", "ทย"]


def test_long_words_are_cut_alike() -> None:
    word = "a" * 1000
    assert query_terms(word) == list(terms_of(word)) == ["a" * MAX_TERM_LENGTH]
    assert query_terms("é" + word) == list(terms_of("é" + word)) == ["e" + "a" * (MAX_TERM_LENGTH - 1)]


def test_a_question_has_each_term_once() -> None:
    assert query_terms("tea or tea") == ["tea", "or"]


@settings(max_examples=examples(300))
@given(st.text())
def test_a_text_has_the_terms_that_are_asked_for_it(text: str) -> None:
    terms = set(terms_of(text))
    assert set(query_terms(text)) == terms
    assert all(term and not any(character in " \0\"'*()" for character in term) for term in terms)


@settings(max_examples=examples(300))
@given(st.text(), st.sampled_from(["学校", "日本", "의사", "ねこ", "ไทย", "Zoë"]), st.text())
def test_a_word_between_spaces_is_found_in_any_text(before: str, word: str, after: str) -> None:
    assert set(terms_of(f"{before} {word} {after}")) >= set(query_terms(word))


@settings(max_examples=examples(300))
@given(st.text(st.characters(max_codepoint=127)))
def test_english_has_the_same_terms_beside_other_languages(text: str) -> None:
    assert list(terms_of(f"{text} é")) == [*terms_of(text), "e"]
