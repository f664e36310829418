"""The reference of a runner's scores, in numpy and float64, from whole rows of logits."""

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import Scores


def scores_of(logits_QV: npt.NDArray[np.float32], tokens_Q: npt.NDArray[np.int32], num_top: int) -> Scores:
    """Return the scores of a token in each row, by the plain definition."""
    with np.errstate(invalid="ignore"):  # a row may be NaN
        logprobs_QV = logits_QV - np.logaddexp.reduce(logits_QV.astype(np.float64), axis=1, keepdims=True)
    order_QV = np.argsort(-logits_QV, axis=1, kind="stable")
    top_QK = order_QV[:, :num_top].astype(np.int32)
    return Scores(
        logprobs_Q=np.take_along_axis(logprobs_QV, tokens_Q[:, None], 1)[:, 0].astype(np.float32),
        ranks_Q=1 + np.argmax(order_QV == tokens_Q[:, None], axis=1).astype(np.int32),
        entropies_Q=-(np.exp(logprobs_QV) * logprobs_QV).sum(1).astype(np.float32),
        top_ids_QK=top_QK,
        top_logprobs_QK=np.take_along_axis(logprobs_QV, top_QK, 1).astype(np.float32),
    )


def assert_close(found: Scores, expected: Scores, atol: float) -> None:
    """Compare the scores; those of equal logits have the same ranks and likeliest tokens."""
    np.testing.assert_array_equal(found.ranks_Q, expected.ranks_Q)
    np.testing.assert_array_equal(found.top_ids_QK, expected.top_ids_QK)
    for name in ("logprobs_Q", "entropies_Q", "top_logprobs_QK"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=atol, err_msg=name)
