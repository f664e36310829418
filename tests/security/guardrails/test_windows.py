"""Windows: pieces of a few sentences, whichever way the text comes."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.security.guardrails.guardrail import Hit, Piece
from llmos.security.guardrails.windows import WindowStream, windows_of

TEXT = "One sentence. Another one! And a third, which is longer than the others? 四つ目。五つ目。 " * 5


def judge(window: str) -> Iterable[Piece]:
    yield window[:3]
    yield Hit("rest", window[3:])


def pieces(text: str, sizes: list[int]) -> list[Piece]:
    stream = WindowStream(judge, 40)
    found: list[Piece] = []
    at = 0
    for size in sizes:
        found += stream.push(text[at : at + size])
        at += size
        assert "".join(each if isinstance(each, str) else each.text for each in found) + stream.held() == text[:at]
    return [*found, *stream.push(text[at:]), *stream.finish()]


def test_windows_are_the_whole_text_and_end_behind_sentences() -> None:
    windows = list(windows_of(TEXT, 40))
    assert "".join(windows) == TEXT
    assert all(len(window) <= 40 for window in windows)
    assert windows[0] == "One sentence. Another one! "


def test_a_word_without_end_is_cut() -> None:
    assert list(windows_of("x" * 90, 40)) == ["x" * 40, "x" * 40, "x" * 10]


@given(st.lists(st.integers(0, 60), max_size=20))
def test_chunks_do_not_change_the_windows(sizes: list[int]) -> None:
    assert pieces(TEXT, sizes) == pieces(TEXT, [])


@pytest.mark.parametrize("text", ["", "x"])
def test_a_short_text_is_one_window(text: str) -> None:
    assert list(windows_of(text, 40)) == [text] * bool(text)
