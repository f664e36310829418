"""How well a runner predicts a text, and how far what it says is from what a reference says at the same places."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.engine.runner import BLOCK_SIZE, Batch, Runner

# W windows of L tokens, N places: every token of a window but its first; R rows of logits, V vocabulary

ROWS_AT_ONCE = 256
"""Logits of so many rows are alive at once: a vocabulary of floats for each."""

_ROWS_IN_CACHE = 4
"""Whose logits stay in a core's cache from one pass over them to the next: four times as fast as with 16."""

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    losses_N: Doubles
    """-log p of the token that follows, in nats."""
    reference_N: Doubles | None = None
    """The same of the reference."""
    same_N: npt.NDArray[np.bool_] | None = None
    """Both find the same token the likeliest."""
    divergences_N: Doubles | None = None
    """KL divergence of the runner's distribution from the reference's, in nats."""


@dataclass(frozen=True, slots=True)
class Increase:
    """How much more perplexity there is than the reference has. 0.01 is one percent."""

    share: float
    standard_error: float
    """How much the share would differ on another text like this, by the differences place by place."""


def num_blocks(window: int) -> int:
    """Return the blocks of the KV cache that predicting needs."""
    return -(-window // BLOCK_SIZE)


def predict(
    runner: Runner,
    windows_WL: Ints,
    reference: Runner | None = None,
    *,
    threads: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Predicted:
    """Predict every token from those before it in its window. `advance` is told how many went through a runner."""
    parts: list[Predicted] = []
    with ThreadPoolExecutor(threads) as pool:

        def gather(logits_RV: Floats, others_RV: Floats | None, following_R: Ints) -> None:
            def look(begin: int) -> Predicted:
                rows = slice(begin, begin + _ROWS_IN_CACHE)
                return _at(logits_RV[rows], None if others_RV is None else others_RV[rows], following_R[rows])

            parts.extend(pool.map(look, range(0, len(following_R), _ROWS_IN_CACHE)))

        for window_L in windows_WL:
            ways = [window_logits(each, window_L) for each in (runner, reference) if each is not None]
            for (following_R, logits_RV), *others in zip(*ways, strict=True):
                gather(logits_RV, others[0][1] if others else None, following_R)
                advance(len(logits_RV) * len(ways))
    return _joined(parts)


def window_logits(runner: Runner, window_L: Ints) -> Iterator[tuple[Ints, Floats]]:
    """Yield some following tokens and the logits [R, V] before them, until the window ends. They are valid until the
    next are asked for."""
    blocks = np.arange(num_blocks(len(window_L)), dtype=np.int32)[None]
    for begin in range(0, len(window_L), ROWS_AT_ONCE):
        part = window_L[None, begin : begin + ROWS_AT_ONCE]
        logits_RV = runner.forward(batch_of(part, begin, blocks, last=part.size))
        following_R = window_L[begin + 1 : begin + 1 + part.size]
        yield following_R, logits_RV[: len(following_R)]  # nothing follows the last token of the window


def batch_of(tokens_SN: Ints, context_length: int, blocks_SB: Ints, *, last: int) -> Batch:
    """Return a batch of equally long sequences, with the logits of the last tokens of each."""
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
    """Return it, and its standard error: by how much the mean of so many losses varies."""
    value = float(np.exp(losses.mean()))
    return value, value * float(losses.std() / losses.size**0.5)


def increase(losses: Doubles, reference: Doubles) -> Increase:
    more = losses - reference
    return Increase(float(np.expm1(more.mean())), float(more.std() / more.size**0.5))


def _at(logits_RV: Floats, reference_RV: Floats | None, following_R: Ints) -> Predicted:
    shifted_RV, weights_RV, log_sums_R = _softmax(logits_RV)
    places_R = np.arange(len(following_R))
    losses_R = log_sums_R - shifted_RV[places_R, following_R]
    if reference_RV is None:
        return Predicted(losses_R)
    other_RV, weights_RV, other_sums_R = _softmax(reference_RV)
    # sum p (log p - log q): both logs are what is left of the logits without the log of the sum of their exponentials.
    differences_R = np.einsum("rv,rv->r", weights_RV, other_RV - shifted_RV) / np.exp(other_sums_R)
    return Predicted(
        losses_R,
        other_sums_R - other_RV[places_R, following_R],
        logits_RV.argmax(axis=1) == reference_RV.argmax(axis=1),
        np.maximum(differences_R - other_sums_R + log_sums_R, 0),  # rounding takes equal ones below zero
    )


def _softmax(logits_RV: Floats) -> tuple[Floats, Floats, Doubles]:
    """Return logits without their highest, the exponentials of these, and the logs of their sums."""
    shifted_RV = logits_RV - logits_RV.max(axis=1, keepdims=True)
    weights_RV = np.exp(shifted_RV)
    log_sums_R: Doubles = np.log(weights_RV.sum(axis=1, dtype=np.float64))
    return shifted_RV, weights_RV, log_sums_R


def _joined(parts: Sequence[Predicted]) -> Predicted:
    losses_N = np.concatenate([part.losses_N for part in parts])
    if parts[0].reference_N is None:
        return Predicted(losses_N)
    return Predicted(
        losses_N,
        np.concatenate([part.reference_N for part in parts if part.reference_N is not None]),
        np.concatenate([part.same_N for part in parts if part.same_N is not None]),
        np.concatenate([part.divergences_N for part in parts if part.divergences_N is not None]),
    )
