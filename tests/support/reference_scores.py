"""The reference of a runner's scores, in numpy and float64, from whole rows of logits."""

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import Scores
from support.reference_sampler import log_softmax

Floats = npt.NDArray[np.float32]


def scores_of(logits_QV: Floats, tokens_Q: npt.NDArray[np.int32], num_top: int) -> Scores:
    """Return the scores of a token in each row of logits."""
    logprobs, ranks, entropies, top_ids, top_logprobs = [], [], [], [], []
    for logits_V, token in zip(logits_QV, tokens_Q.tolist(), strict=True):
        logprobs_V = log_softmax(logits_V.astype(np.float64))
        order_V = np.argsort(-logits_V, kind="stable")
        logprobs.append(logprobs_V[token])
        ranks.append(1 + order_V.tolist().index(token))
        entropies.append(-(np.exp(logprobs_V) * logprobs_V).sum())
        top_ids.append(order_V[:num_top])
        top_logprobs.append(logprobs_V[order_V[:num_top]])
    shape = (len(tokens_Q), num_top)
    return Scores(
        logprobs_Q=np.array(logprobs, np.float32),
        ranks_Q=np.array(ranks, np.int32),
        entropies_Q=np.array(entropies, np.float32),
        top_ids_QK=np.array(top_ids, np.int32).reshape(shape),
        top_logprobs_QK=np.array(top_logprobs, np.float32).reshape(shape),
    )


def assert_close(found: Scores, expected: Scores, atol: float) -> None:
    """Compare the scores; those of equal logits have the same ranks and likeliest tokens."""
    np.testing.assert_array_equal(found.ranks_Q, expected.ranks_Q)
    np.testing.assert_array_equal(found.top_ids_QK, expected.top_ids_QK)
    for name in ("logprobs_Q", "entropies_Q", "top_logprobs_QK"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=atol, err_msg=name)
