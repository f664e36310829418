"""The surprise of a model at a text: its least likely passage, beside ordinary texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.security.guardrails.ordinary_texts import ORDINARY_TEXTS
from llmos.security.guardrails.surprise import WINDOW_TOKENS, Calibration, calibrate, nats_of

LOGPROBS = st.lists(st.floats(-30, 0), min_size=WINDOW_TOKENS, max_size=80)


@given(LOGPROBS)
def test_the_least_likely_window_counts(logprobs):
    windows = [logprobs[i : i + WINDOW_TOKENS] for i in range(len(logprobs) - WINDOW_TOKENS + 1)]
    assert nats_of(logprobs) == pytest.approx(max(-sum(window) for window in windows) / WINDOW_TOKENS, abs=1e-9)


def test_a_long_ordinary_text_does_not_hide_a_strange_passage():
    ordinary, strange = [-3.0] * 500, [-11.0] * WINDOW_TOKENS
    assert nats_of([*ordinary, *strange, *ordinary]) == pytest.approx(11)


def test_a_short_text_says_nothing():
    assert nats_of([-20.0] * (WINDOW_TOKENS - 1)) is None
    assert Calibration(4, 1).of([-20.0]) is None


def test_deviations_are_those_of_ordinary_texts():
    calibration = calibrate([[-nats] * 20 for nats in (3.0, 4.0, 5.0)] + [[-9.0]])
    assert calibration == Calibration(4, 1)
    assert calibration.of([-6.5] * 20) == pytest.approx(2.5)


def test_ordinary_texts_that_are_all_alike_divide_by_no_zero():
    assert calibrate([[-3.0] * 20] * 3).of([-4.0] * 20) > 100


def test_ordinary_texts_are_long_enough_and_all_different():
    assert len(set(ORDINARY_TEXTS)) == len(ORDINARY_TEXTS) >= 25
    assert all(len(text) > 2 * WINDOW_TOKENS for text in ORDINARY_TEXTS)
