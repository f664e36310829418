"""Surprise: how unlikely a model finds the least likely passage of a text, beside ordinary texts.

The suffixes that automated attacks find (Zou et al. 2023) are nearly random tokens, whose perplexity is far above that
of anything people write (Alon & Kamfonas 2023; Jain et al. 2023). A passage is a window of tokens, so that a long
ordinary text can't hide such a suffix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

WINDOW_TOKENS = 16
"""Shorter texts say too little."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The surprise of one model at ordinary texts."""

    mean: float
    """In nats per token of their least likely passages."""
    deviation: float

    def of(self, logprobs: Sequence[float]) -> float | None:
        """Return how many standard deviations a text is above ordinary ones; None for a text that is too short.

        `logprobs`: those of its tokens, in order.
        """
        nats = nats_of(logprobs)
        return None if nats is None else (nats - self.mean) / self.deviation


def calibrate(texts: Sequence[Sequence[float]]) -> Calibration:
    """Return the calibration by the log probabilities of the tokens of ordinary texts, two of them long enough."""
    found = [nats for logprobs in texts if (nats := nats_of(logprobs)) is not None]
    return Calibration(mean(found), max(stdev(found), 1e-3))


def nats_of(logprobs: Sequence[float]) -> float | None:
    """Return the mean negative log probability of a text's least likely window of tokens; None if it has no window."""
    if len(logprobs) < WINDOW_TOKENS:
        return None
    window = highest = -sum(logprobs[:WINDOW_TOKENS])
    for before, after in zip(logprobs, logprobs[WINDOW_TOKENS:], strict=False):
        window += before - after
        highest = max(highest, window)
    return highest / WINDOW_TOKENS
