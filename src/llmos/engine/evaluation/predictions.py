"""Measures how well a runner predicts a text, and how far its distributions are from a reference's."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import BLOCK_SIZE, Batch, Runner

# W windows of L tokens, N predicted tokens: all of a window but its first; R rows of logits, V vocabulary

ROWS_AT_ONCE = 256
"""Rows of logits that are in memory at once; each has a float for every token of the vocabulary."""

_ROWS_IN_CACHE = 4
"""Rows processed together, whose logits stay in a core's cache between passes: four times as fast as with 16 rows."""

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predictions:
    """A runner's predictions of N tokens, compared with a reference's if there is one."""

    losses_N: Doubles
    """-log p of each token, in nats."""
    reference_N: Doubles | None = None
    """The same for the reference."""
    same_N: npt.NDArray[np.bool_] | None = None
    """True where both find the same token the most probable."""
    divergences_N: Doubles | None = None
    """KL divergence of the runner's distribution from the reference's, in nats."""


@dataclass(frozen=True, slots=True)
class Increase:
    """The relative increase of the perplexity over the reference's. 0.01 is one percent."""

    share: float
    standard_error: float
    """Standard error of the share, from the differences token by token."""


def num_blocks(window: int) -> int:
    """Return how many KV cache blocks a window of so many tokens needs."""
    return -(-window // BLOCK_SIZE)


def predict(
    runner: Runner,
    windows_WL: Ints,
    reference: Runner | None = None,
    *,
    threads: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Predict every token from those before it in its window.

    `advance(count)` is called with the number of tokens that have gone through a runner since the last call.
    """
    parts: list[Predictions] = []
    with ThreadPoolExecutor(threads) as pool:

        def gather(logits_RV: Floats, reference_RV: Floats | None, next_R: Ints) -> None:
            def compare(begin: int) -> Predictions:
                rows = slice(begin, begin + _ROWS_IN_CACHE)
                return _compare(logits_RV[rows], None if reference_RV is None else reference_RV[rows], next_R[rows])

            parts.extend(pool.map(compare, range(0, len(next_R), _ROWS_IN_CACHE)))

        for window_L in windows_WL:
            streams = [window_logits(each, window_L) for each in (runner, reference) if each is not None]
            for (next_R, logits_RV), *others in zip(*streams, strict=True):
                gather(logits_RV, others[0][1] if others else None, next_R)
                advance(len(logits_RV) * len(streams))
    return _joined(parts)


def window_logits(runner: Runner, window_L: Ints) -> Iterator[tuple[Ints, Floats]]:
    """Yield (tokens [R], logits [R, V] that predict them), chunk by chunk. Each chunk is valid until the next one."""
    blocks = np.arange(num_blocks(len(window_L)), dtype=np.int32)[None]
    for begin in range(0, len(window_L), ROWS_AT_ONCE):
        part = window_L[None, begin : begin + ROWS_AT_ONCE]
        logits_RV = runner.forward(batch_of(part, begin, blocks, last=part.size))
        next_R = window_L[begin + 1 : begin + 1 + part.size]
        yield next_R, logits_RV[: len(next_R)]  # the last token of the window predicts nothing


def batch_of(tokens_SN: Ints, context_length: int, blocks_SB: Ints, *, last: int) -> Batch:
    """Return a batch of sequences of the same length, with logits of the `last` tokens of each."""
    num_sequences, count = tokens_SN.shape
    starts = np.arange(num_sequences + 1, dtype=np.int32) * np.int32(count)
    return Batch(
        tokens=np.ascontiguousarray(tokens_SN).reshape(-1),
        starts=starts,
        context_lengths=np.full(num_sequences, context_length, np.int32),
        block_tables=np.ascontiguousarray(blocks_SB),
        logit_rows=(starts[1:, None] - np.arange(last, 0, -1)).reshape(-1).astype(np.int32),
    )


def perplexity(losses: Doubles) -> tuple[float, float]:
    """Return exp(mean loss), and its standard error."""
    value = float(np.exp(losses.mean()))
    return value, value * float(losses.std() / losses.size**0.5)


def increase(losses: Doubles, reference: Doubles) -> Increase:
    """Return the increase of the perplexity, from the losses of both on the same tokens."""
    more = losses - reference
    return Increase(float(np.expm1(more.mean())), float(more.std() / more.size**0.5))


# Infinite logits give losses that are NaN, which the caller looks for. Whether a broken model's logits are infinite or
# NaN differs between processors, and only the former make numpy warn.
@np.errstate(invalid="ignore")
def _compare(logits_RV: Floats, reference_RV: Floats | None, next_R: Ints) -> Predictions:
    shifted_RV, weights_RV, log_sums_R = _softmax(logits_RV)
    rows_R = np.arange(len(next_R))
    losses_R = log_sums_R - shifted_RV[rows_R, next_R]
    if reference_RV is None:
        return Predictions(losses_R)
    other_RV, weights_RV, other_sums_R = _softmax(reference_RV)
    # KL = sum p (log p - log q), with log p = shifted logit - log(sum of exponentials), and q likewise.
    differences_R = np.einsum("rv,rv->r", weights_RV, other_RV - shifted_RV) / np.exp(other_sums_R)
    return Predictions(
        losses_R,
        other_sums_R - other_RV[rows_R, next_R],
        logits_RV.argmax(axis=1) == reference_RV.argmax(axis=1),
        np.maximum(differences_R - other_sums_R + log_sums_R, 0),  # rounding may take it below zero
    )


def _softmax(logits_RV: Floats) -> tuple[Floats, Floats, Doubles]:
    """Return the logits minus their maximum, the exponentials of these, and the logarithms of their sums."""
    shifted_RV = logits_RV - logits_RV.max(axis=1, keepdims=True)
    weights_RV = np.exp(shifted_RV)
    log_sums_R: Doubles = np.log(weights_RV.sum(axis=1, dtype=np.float64))
    return shifted_RV, weights_RV, log_sums_R


def _joined(parts: Sequence[Predictions]) -> Predictions:
    losses_N = np.concatenate([part.losses_N for part in parts])
    if parts[0].reference_N is None:
        return Predictions(losses_N)
    return Predictions(
        losses_N,
        np.concatenate([part.reference_N for part in parts if part.reference_N is not None]),
        np.concatenate([part.same_N for part in parts if part.same_N is not None]),
        np.concatenate([part.divergences_N for part in parts if part.divergences_N is not None]),
    )
