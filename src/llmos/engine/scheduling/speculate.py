"""Speculative decoding without a second model: how many tokens to draft for each sequence of a step.

A draft is computed behind the sequence's last token in the same forward pass, and kept as far as the model samples the
same tokens. It can't change an answer: row i is sampled as step i would be, and everything behind the first row that
disagrees is discarded. A row costs time, so it is drafted only if it is expected to bring in more than it costs.
"""

import logging
from collections.abc import Iterable, Sequence

from llmos.engine.scheduling.drafter import Drafter, Guess
from llmos.engine.scheduling.sequence import Choice
from llmos.engine.scheduling.sequence import Sequence as EngineSequence

logger = logging.getLogger(__name__)

_COSTS = ((1, 1.0), (2, 1.04), (5, 1.09), (6, 1.16), (8, 1.33), (12, 1.71), (16, 2.21), (32, 4.27), (64, 8.39))
"""Rows of a step, and its time in units of a step with one row. A few rows share the time in which the weights come
from memory; from 8 rows on, every row adds computing time. Measured by benchmarks/rows.py on two AVX-512 cores with 135
million parameters."""

_MAX_INDEXED_PER_STEP = 2048
"""Tokens of all sequences together that are indexed in one step: half a millisecond at most, however long prompts are.
"""
_FORCED_RATE = 0.98
"""Acceptance rate of tokens that a grammar forces. Below 1, since the model may tokenize the same text differently."""


class Speculator:
    """Sets the drafts of a step, so that the step brings in the most tokens for its time."""

    def __init__(self, max_draft_tokens: int, max_batched_tokens: int) -> None:
        """`max_draft_tokens`: per sequence and step; 0 turns speculation off."""
        self._max_draft_tokens = max_draft_tokens
        self._max_batched_tokens = max_batched_tokens

    def propose(self, running: Iterable[EngineSequence]) -> None:
        """Set the draft of every sequence; a sequence that doesn't decode gets an empty one."""
        if not self._max_draft_tokens:
            return
        num_rows = 0
        num_to_index = _MAX_INDEXED_PER_STEP
        guessed, guesses = [], []
        for sequence in running:
            sequence.draft = []
            num_missing = len(sequence.tokens) - sequence.num_computed
            num_rows += num_missing
            if not isinstance(sequence, Choice) or not sequence.is_decoding or sequence.drafter is None:
                continue
            limit = min(self._max_draft_tokens, sequence.output.num_tokens_left - 1)
            if limit <= 0:
                continue
            try:
                num_to_index -= sequence.drafter.index(sequence.tokens, num_to_index)
                guess = _guess(sequence, sequence.drafter, limit)
            except Exception:
                # The answer is the same without drafts, so the sequence continues and its drafter is not asked again.
                logger.exception("Speculation failed for request %s, which continues without.", sequence.request_id)
                sequence.drafter = None
                continue
            if guess:
                guessed.append(sequence)
                guesses.append(guess)
        if not guesses:
            return
        counts = allot([guess.chances for guess in guesses], min(num_rows, self._max_batched_tokens))
        for sequence, guess, count in zip(guessed, guesses, counts, strict=True):
            sequence.draft = guess.tokens[:count]


def _guess(sequence: Choice, drafter: Drafter, limit: int) -> Guess | None:
    """Return the tokens that the sequence's grammar forces; if it forces none, the drafter's guess as far as the
    grammar allows it."""
    matcher = sequence.matcher
    forced = matcher.forced_tokens()[:limit] if matcher is not None else []
    sequence.is_draft_forced = bool(forced)
    if forced:
        return Guess(forced, [_FORCED_RATE] * len(forced))
    guess = drafter.guess(sequence.tokens, limit)
    if guess is None or matcher is None:
        return guess
    allowed = matcher.allowed_prefix(guess.tokens)
    return Guess(allowed, guess.chances[: len(allowed)]) if allowed else None


def step_cost(num_rows: int) -> float:
    """Return the time of a step of `num_rows` >= 1 rows, in units of a step with one row."""
    after = next((i for i, (rows, _) in enumerate(_COSTS) if num_rows < rows), len(_COSTS) - 1)
    (fewer, low), (more, high) = _COSTS[after - 1 : after + 1]
    return low + (num_rows - fewer) * (high - low) / (more - fewer)


def allot(chances: Sequence[Sequence[float]], num_rows: int) -> list[int]:
    """Return how many tokens to draft for each sequence, so that the step brings in the most tokens for its time.

    `chances`: for each sequence, the acceptance probability of each token that it could draft, descending.
    `num_rows`: rows that the step computes anyway; each counts as one token, whether of a prompt or of an answer.
    """
    counts = [0] * len(chances)
    worth = float(num_rows)
    cost = step_cost(num_rows)
    # The most probable first. A sequence's own chances never rise, so its tokens come in their order.
    for chance, i in sorted(((chance, i) for i, own in enumerate(chances) for chance in own), reverse=True):
        extra = step_cost(num_rows + 1) - cost
        if chance * cost <= worth * extra:
            break
        counts[i] += 1
        num_rows += 1
        worth += chance
        cost += extra
    return counts
