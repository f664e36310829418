"""A stop string never shows, however the text is cut, and only text that may become one is held back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.text.stopping import StopStrings


def feed(stops, pieces):
    """Return what was released after each piece, and the stop string that ended it."""
    strings, released = StopStrings(stops), []
    for piece in pieces:
        text, stop = strings.push(piece)
        released.append(text)
        if stop is not None:
            return released, stop
    released.append(strings.flush())
    return released, None


@pytest.mark.parametrize(
    ("stops", "pieces", "released", "stop"),
    [
        (["END"], ["abc", "def"], ["abc", "def", ""], None),
        (["END"], ["abcEND", "def"], ["abc"], "END"),
        (["END"], ["abE", "N", "Dx"], ["ab", "", ""], "END"),
        (["END"], ["abE", "N", "x"], ["ab", "", "ENx", ""], None),
        (["END"], ["abEE", "ND"], ["abE", ""], "END"),
        (["END"], ["abEN"], ["ab", "EN"], None),
        (["aab"], ["aaa", "ab"], ["a", "a"], "aab"),
        (["\n\n"], ["a\n", "b\n", "\n"], ["a", "\nb", ""], "\n\n"),
        (["abc", "b"], ["ab"], ["a"], "b"),
        (["bc", "abc"], ["xabc"], ["x"], "abc"),
        (["。"], ["你好", "。再见"], ["你好", ""], "。"),
        (["x"], [""], ["", ""], None),
    ],
)
def test_text_is_released_as_soon_as_it_cannot_be_part_of_a_stop_string(stops, pieces, released, stop):
    assert feed(stops, pieces) == (released, stop)


def first_stop(stops, text):
    """The definition: the text before the stop string that is complete first (the longest of those), and the string."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            stop = max(complete, key=len)
            return text[: end - len(stop)], stop
    return text, None


def must_hold(stops, text):
    """The definition: the length of the longest suffix of the text that is a prefix of a stop string."""
    return max(k for k in range(len(text) + 1) if any(stop.startswith(text[len(text) - k :]) for stop in stops))


words = st.text("ab", min_size=1, max_size=5)


@settings(deadline=None)
@given(stops=st.lists(words, min_size=1, max_size=4), pieces=st.lists(st.text("abc", max_size=4), max_size=12))
def test_any_text_in_any_pieces_stops_at_the_first_stop_string_and_holds_back_the_least(stops, pieces):
    strings, text, released = StopStrings(stops), "", ""
    for piece in pieces:
        text += piece
        piece_released, stop = strings.push(piece)
        released += piece_released
        before, expected = first_stop(stops, text)
        assert stop == expected
        if stop is not None:
            assert released == before
            return
        assert len(released) == len(text) - must_hold(stops, text)
        assert text.startswith(released)
    assert released + strings.flush() == text


def test_long_repetitive_stop_strings_take_linear_time():
    # With a naive search this is 64 * 1024 comparisons for every character, and never ends.
    strings = StopStrings(["a" * 1023 + chr(1000 + i) for i in range(64)])
    assert strings.push("a" * 5000)[1] is None
    assert len(strings.held) == 1023
