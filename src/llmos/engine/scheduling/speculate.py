"""Speculation without a second model: what followed the same tokens before may follow them again.

A draft is computed behind the sequence's last token in one forward pass, and kept as far as the model says the same
(prompt lookup, Saxena 2023). It can't change an answer: row i is sampled as step i would be, and what is behind the
first row that disagrees is thrown away. It can cost time, so a row is drafted only where it is likely to bring in more
than it costs.
"""

import logging
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.engine.scheduling.sequence import Sequence as EngineSequence

logger = logging.getLogger(__name__)

_COSTS = ((1, 1.0), (2, 1.04), (5, 1.09), (6, 1.16), (8, 1.33), (12, 1.71), (16, 2.21), (32, 4.27), (64, 8.39))
"""Rows of a step, and how long it takes in steps of one row. A few rows wait for the same weights to come from memory;
from 8 on every row is computing time. Measured by benchmarks/rows.py on two AVX-512 cores with 135 M parameters."""

_LONGEST_MATCH = 16
"""Tokens that are compared at most: more say nothing new."""
_NUM_CANDIDATES = 8
"""Places that are compared at most."""
_MAX_INDEXED_PER_STEP = 2048
"""Tokens, of all sequences together: so that the longest prompts take a step half a millisecond at most."""

_FIRST_RATES = (0.2, 0.4, 0.6, 0.8)
"""How often a draft's token is right, before we know, where the match is 2-3, 4-7, 8-15 and 16 tokens long."""
_FORCED_RATE = 0.98
"""How often the tokens that a grammar leaves no choice about are right: but for another spelling of the same text."""
_LEARNING = 0.2
"""How much a token that was right or wrong moves its rate."""
_ALLOWANCE = 0.015
"""Of its time, what a sequence may go on spending on drafts that are never right."""


@dataclass(frozen=True, slots=True)
class Guess:
    tokens: list[int]
    chances: list[float]
    """Of each token, that it and all before it are right."""


class Drafter:
    """Guesses how one sequence goes on, and learns how good its guesses are.

    It finds the sequence's last tokens earlier in the sequence: the longest match, and the latest of equal ones. As in
    deflate (RFC 1951, section 4) each pair of tokens has a chain of the places where it stood.

        tokens   [ ... the cat sat on the mat . ... ... so the cat ]
                           ^ source                            ^ last
                               [ sat on the ] is the guess

    The rates need no clock to stop and none to try again. A wrong token, drafted because its rate p was above its cost,
    takes p * _LEARNING off the rate; each match gives _ALLOWANCE * _LEARNING back. So where nothing is ever right,
    the cost of the trials comes to _ALLOWANCE of the time.
    """

    __slots__ = ("_length", "_place_of", "_previous", "_rates")

    def __init__(self) -> None:
        self._place_of: dict[int, int] = {}  # a pair of tokens -> the latest place of its second one
        self._previous = array("i", [-1])  # place -> the place before with the same pair
        self._rates = list(_FIRST_RATES)
        self._length = 0  # of the last match

    def index(self, tokens: list[int], limit: int) -> int:
        """Note the places of up to `limit` more pairs, but not of the last, which is the one that is looked for. Return
        how many they were. `tokens` only ever grows."""
        place_of, previous = self._place_of, self._previous
        start = len(previous)
        end = min(len(tokens) - 1, start + limit)
        for place in range(start, end):
            pair = tokens[place - 1] << 32 | tokens[place]
            previous.append(place_of.get(pair, -1))
            place_of[pair] = place
        return max(0, end - start)

    def guess(self, tokens: list[int], limit: int) -> Guess | None:
        """Return up to `limit` tokens that may follow, None where the last ones are new to what is indexed."""
        source, length = self._find(tokens)
        if length < 2:
            return None
        self._length = length
        rate = self._rates[_grade(length)]
        self._rates[_grade(length)] = min(1.0, rate + _ALLOWANCE * _LEARNING)
        # A source so near that it runs into the end repeats itself from there on.
        period = len(tokens) - 1 - source
        draft = tokens[source + 1 : source + 1 + limit]
        while len(draft) < limit:
            draft.append(draft[-period])
        chance, chances = 1.0, []
        for matched in range(length, length + limit):
            chance *= self._rates[_grade(matched)]
            chances.append(chance)
        return Guess(draft, chances)

    def learn(self, num_drafted: int, num_right: int) -> None:
        """Of the last guess so many tokens were drafted, and so many were right before the first wrong one."""
        for i in range(min(num_drafted, num_right + 1)):
            grade = _grade(self._length + i)
            self._rates[grade] += ((i < num_right) - self._rates[grade]) * _LEARNING

    def _find(self, tokens: list[int]) -> tuple[int, int]:
        """Return the place where the longest match ends, and its length."""
        source, longest = -1, 0
        last = len(tokens) - 1
        place = self._place_of.get(tokens[last - 1] << 32 | tokens[last], -1)
        for _ in range(_NUM_CANDIDATES):
            if place < 0:
                break
            length = 2
            most = min(_LONGEST_MATCH, place + 1)
            while length < most and tokens[place - length] == tokens[last - length]:
                length += 1
            if length > longest:
                source, longest = place, length
            if length == _LONGEST_MATCH:
                break
            place = self._previous[place]
        return source, longest


class Speculator:
    """Sets the drafts of a step: for each sequence as many tokens as the step is the faster for, all in all."""

    def __init__(self, max_draft_tokens: int, max_batched_tokens: int) -> None:
        self._max_draft_tokens = max_draft_tokens
        self._max_batched_tokens = max_batched_tokens

    def propose(self, running: "Iterable[EngineSequence]") -> None:
        """Set the draft of every sequence, to nothing where it does not decode."""
        if not self._max_draft_tokens:
            return
        num_rows = 0
        num_to_index = _MAX_INDEXED_PER_STEP
        guessed, guesses = [], []
        for sequence in running:
            sequence.draft = []
            num_missing = len(sequence.tokens) - sequence.num_computed
            num_rows += num_missing
            limit = min(self._max_draft_tokens, sequence.choice.num_tokens_left - 1)
            if num_missing != 1 or limit <= 0 or sequence.drafter is None:
                continue
            try:
                num_to_index -= sequence.drafter.index(sequence.tokens, num_to_index)
                guess = _guess(sequence, sequence.drafter, limit)
            except Exception:
                # It is not asked again: the answer is the same without.
                logger.exception("Speculation failed for request %s, which goes on without.", sequence.request_id)
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


def _guess(sequence: "EngineSequence", drafter: Drafter, limit: int) -> Guess | None:
    """What must come by the sequence's grammar; where that leaves a choice, what its drafter guesses and may come."""
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
    """Return how long a step of one row or more takes, in steps of one row."""
    after = next((i for i, (rows, _) in enumerate(_COSTS) if num_rows < rows), len(_COSTS) - 1)
    (fewer, low), (more, high) = _COSTS[after - 1 : after + 1]
    return low + (num_rows - fewer) * (high - low) / (more - fewer)


def allot(chances: Sequence[Sequence[float]], num_rows: int) -> list[int]:
    """Return how many tokens to draft for each sequence: those that bring in the most tokens for the time.

    `num_rows`: what the step computes anyway; each is as good as one token, be it of a prompt or of an answer.
    """
    counts = [0] * len(chances)
    worth = float(num_rows)
    cost = step_cost(num_rows)
    # The likeliest first. A sequence's own chances never rise from token to token, so its tokens come in their order.
    for chance, i in sorted(((chance, i) for i, own in enumerate(chances) for chance in own), reverse=True):
        extra = step_cost(num_rows + 1) - cost
        if chance * cost <= worth * extra:
            break
        counts[i] += 1
        num_rows += 1
        worth += chance
        cost += extra
    return counts


def _grade(length: int) -> int:
    """0 for matches of 2 and 3 tokens, then one more for each doubling."""
    return min(length.bit_length(), 5) - 2
