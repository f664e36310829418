"""Perplexity, agreement and KL divergence, against the same in float64 by their definitions."""

import numpy as np
import pytest

from llmos.engine.evaluation.predictions import Predictions, increase, perplexity, predict, window_logits


class Said:
    """A runner with given logits for each token, which counts its calls."""

    def __init__(self, table_VV: np.ndarray) -> None:
        self._table_VV = table_VV.astype(np.float32)
        self.num_tokens = 0

    def forward(self, batch):
        self.num_tokens += len(batch.tokens)
        assert len(batch.logit_rows) == len(batch.tokens)
        return self._table_VV[batch.tokens[batch.logit_rows]]


@pytest.fixture
def windows_WL():
    return np.random.default_rng(0).integers(0, 50, (3, 300)).astype(np.int32)


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_all_figures_match_their_definitions(windows_WL, threads):
    rng = np.random.default_rng(1)
    mine, theirs = rng.normal(0, 3, (50, 50)), rng.normal(0, 3, (50, 50))
    found = predict(Said(mine), windows_WL, Said(theirs), threads=threads)

    before, after = windows_WL[:, :-1].ravel(), windows_WL[:, 1:].ravel()
    q, p = softmax(mine)[before], softmax(theirs)[before]
    rows = np.arange(len(after))
    np.testing.assert_allclose(found.losses_N, -np.log(q[rows, after]), rtol=1e-5)
    np.testing.assert_allclose(found.reference_N, -np.log(p[rows, after]), rtol=1e-5)
    np.testing.assert_allclose(found.divergences_N, (p * np.log(p / q)).sum(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(found.same_N, q.argmax(axis=1) == p.argmax(axis=1))


def test_a_model_has_no_divergence_from_itself(windows_WL):
    table = np.random.default_rng(2).normal(0, 10, (50, 50))
    found = predict(Said(table), windows_WL, Said(table))
    assert found.divergences_N is not None
    assert found.divergences_N.max() == 0
    assert found.same_N is not None
    assert found.same_N.all()
    assert increase(found.losses_N, found.losses_N).share == 0


def test_without_a_reference_there_are_only_losses(windows_WL):
    found = predict(Said(np.zeros((50, 50))), windows_WL)
    assert found == Predictions(found.losses_N)
    value, error = perplexity(found.losses_N)
    assert value == pytest.approx(50)
    assert error == pytest.approx(0, abs=1e-6)


def test_the_last_token_of_a_window_predicts_nothing(windows_WL):
    runner, advanced = Said(np.zeros((50, 50))), []
    predict(runner, windows_WL, advance=advanced.append)
    assert runner.num_tokens == windows_WL.size
    assert sum(advanced) == windows_WL.size - len(windows_WL)
    following = [each for each, _ in window_logits(runner, windows_WL[0])]
    np.testing.assert_array_equal(np.concatenate(following), windows_WL[0, 1:])


def test_the_increase_and_its_error_come_from_the_differences():
    losses, reference = np.array([2.0, 3.0, 4.0, 5.0]), np.array([1.9, 2.9, 3.9, 4.9])
    more = increase(losses, reference)
    assert more.share == pytest.approx(np.exp(0.1) - 1)
    assert more.standard_error == pytest.approx(0, abs=1e-9)  # the text's own spread is in both


@pytest.mark.parametrize("logit", [np.inf, -np.inf, np.nan])
def test_logits_that_are_not_finite_give_losses_that_are_not(windows_WL, logit):
    broken, sound = Said(np.full((50, 50), logit)), Said(np.zeros((50, 50)))
    assert not np.isfinite(predict(broken, windows_WL, sound).losses_N).any()
    assert not np.isfinite(predict(sound, windows_WL, broken).divergences_N).any()
