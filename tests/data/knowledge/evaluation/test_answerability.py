"""The measure of answerability: evidence, fit and threshold."""

import numpy as np
import pytest

from llmos.data.knowledge.evaluation.answerability import (
    Evidence,
    Measure,
    best_threshold,
    evidence_of,
    fit_measure,
)


def test_the_evidence_is_the_largest_cosine_and_the_largest_share_of_the_questions_words() -> None:
    found = [("the guarantee", 0.4), ("a guarantee of two years", None), ("nothing", 0.7)]
    assert evidence_of("guarantee years how long", found) == Evidence(0.7, 0.5)
    assert evidence_of("guarantee", []) == Evidence(0.0, 0.0)
    assert evidence_of("", [("", 0.2)]) == Evidence(0.2, 0.0)


def test_the_fit_finds_the_weights_that_made_the_cases() -> None:
    random = np.random.default_rng(3)
    signals = random.uniform(size=(4_000, 2))
    true = Measure(intercept=-6, cosine=8, words=4)
    answerable = [random.uniform() < true.probability(Evidence(*each)) for each in signals]
    fitted = fit_measure([Evidence(*each) for each in signals], answerable)
    assert (fitted.intercept, fitted.cosine, fitted.words) == pytest.approx((-6, 8, 4), rel=0.1)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_cases_that_separate_completely_or_have_a_constant_signal_give_finite_weights(spread: float) -> None:
    evidence = [Evidence(0.5 + spread * sign, 0.1 * index) for index in range(5) for sign in (-1, 1)]
    fitted = fit_measure(evidence, [False, True] * 5)
    assert np.isfinite([fitted.intercept, fitted.cosine, fitted.words]).all()
    assert fitted.cosine == pytest.approx(0, abs=1e-6) if spread == 0 else fitted.cosine > 1


def test_the_threshold_lies_between_the_kinds_and_depends_on_no_order() -> None:
    likely, answerable = [0.9, 0.2, 0.6, 0.3], [True, False, True, False]
    assert best_threshold(likely, answerable) == pytest.approx(0.45)
    assert best_threshold(likely[::-1], answerable[::-1]) == pytest.approx(0.45)


def test_the_threshold_has_the_largest_f1_of_unanswered_questions() -> None:
    random = np.random.default_rng(5)
    answerable = random.uniform(size=60) < 0.5
    likely = np.round(random.normal(answerable * 0.2, 0.2), 2)

    def f1(threshold: float) -> float:
        is_below = likely < threshold
        return 2 * (is_below & ~answerable).sum() / (is_below.sum() + (~answerable).sum())

    middles = (np.unique(likely)[1:] + np.unique(likely)[:-1]) / 2
    assert f1(best_threshold(list(likely), list(answerable))) == max(map(f1, middles))


def test_without_any_difference_the_threshold_is_that_value() -> None:
    assert best_threshold([0.5, 0.5], [True, False]) == 0.5
