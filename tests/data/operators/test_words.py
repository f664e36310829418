"""Words: the same for a text of ASCII, which takes a shorter way, as for any other one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.data.operators.words import spaced_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("One two,THREE!", ["one", "two", "three"]),
        ("snake_case v1.5\tx\x1cy\x00z\x7f", ["snake", "case", "v1", "5", "x", "y", "z"]),
        ("Straße ÉTÉ naïve", ["strasse", "été", "naïve"]),
        ("你好 world カナ", ["你", "好", "world", "カ", "ナ"]),
        ("", []),
        (" ,;- ", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text, words):
    assert words_of(text) == words
    assert spaced_words(text).split() == words


@given(st.text(st.characters(max_codepoint=127)))
def test_texts_of_ascii_have_the_words_that_they_have_beside_others(text):
    assert words_of(text) == words_of(f"{text} é")[:-1]
