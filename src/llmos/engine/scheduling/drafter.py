"""Prompt lookup for one sequence: what followed the same tokens before may follow them again. Knows no scheduler."""

from array import array
from dataclasses import dataclass

_LONGEST_MATCH = 16
"""Tokens that are compared at most. A longer match predicts no better."""
_NUM_CANDIDATES = 8
"""Earlier positions that are compared at most."""

_FIRST_RATES = (0.2, 0.4, 0.6, 0.8)
"""Initial acceptance rates of a drafted token behind a match of 2-3, 4-7, 8-15 and 16 tokens."""
_LEARNING = 0.2
"""Weight of the newest token in its acceptance rate (exponential moving average)."""
_ALLOWANCE = 0.015
"""Share of its time that a sequence may keep spending on drafts that are never accepted."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Tokens that may follow."""

    tokens: list[int]
    chances: list[float]
    """For each token, the probability that it and all tokens before it are accepted. Never rises."""


class Drafter:
    """Guesses how one sequence continues, and learns how often its guesses are accepted.

    Finds the sequence's last tokens earlier in the sequence: the longest match, and the latest of equally long ones
    (prompt lookup, Saxena 2023). As in deflate (RFC 1951, section 4), the positions of each pair of tokens are chained.

        tokens   [ ... the cat sat on the mat . ... ... so the cat ]
                           ^ source                            ^ last
                               [ sat on the ] is the guess

    The rates need no clock. A rejected token was drafted because its rate p was above its cost, and takes
    p * _LEARNING off the rate; each match adds _ALLOWANCE * _LEARNING. So where no draft is ever accepted, the drafts
    cost _ALLOWANCE of the time.
    """

    __slots__ = ("_last_position", "_length", "_previous", "_rates")

    def __init__(self) -> None:
        self._last_position: dict[int, int] = {}  # pair of tokens -> the latest position of its second token
        self._previous = array("i", [-1])  # position -> the position before it that has the same pair
        self._rates = list(_FIRST_RATES)
        self._length = 0  # of the last match

    def index(self, tokens: list[int], limit: int) -> int:
        """Index up to `limit` more pairs of `tokens` and return how many were indexed.

        The last pair is left out, since it is the one to be found. `tokens` must only grow between calls.
        """
        last_position, previous = self._last_position, self._previous
        start = len(previous)
        end = min(len(tokens) - 1, start + limit)
        for position in range(start, end):
            pair = tokens[position - 1] << 32 | tokens[position]
            previous.append(last_position.get(pair, -1))
            last_position[pair] = position
        return max(0, end - start)

    def guess(self, tokens: list[int], limit: int) -> Guess | None:
        """Return `limit` tokens that may follow, or None if the last two tokens are not in the index."""
        source, length = self._find(tokens)
        if length < 2:
            return None
        self._length = length
        rate = self._rates[_grade(length)]
        self._rates[_grade(length)] = min(1.0, rate + _ALLOWANCE * _LEARNING)
        # A source close to the end runs into it: the tokens between the two repeat from there on.
        period = len(tokens) - 1 - source
        draft = tokens[source + 1 : source + 1 + limit]
        while len(draft) < limit:
            draft.append(draft[-period])
        chance, chances = 1.0, []
        for matched in range(length, length + limit):
            chance *= self._rates[_grade(matched)]
            chances.append(chance)
        return Guess(draft, chances)

    def learn(self, num_drafted: int, num_accepted: int) -> None:
        """Update the acceptance rates: `num_drafted` tokens of the last guess were computed, the first
        `num_accepted` of them were accepted."""
        for i in range(min(num_drafted, num_accepted + 1)):
            grade = _grade(self._length + i)
            self._rates[grade] += ((i < num_accepted) - self._rates[grade]) * _LEARNING

    def _find(self, tokens: list[int]) -> tuple[int, int]:
        """Return the position at which the longest match ends, and the match's length in tokens."""
        source, longest = -1, 0
        last = len(tokens) - 1
        position = self._last_position.get(tokens[last - 1] << 32 | tokens[last], -1)
        for _ in range(_NUM_CANDIDATES):
            if position < 0:
                break
            length = 2
            most = min(_LONGEST_MATCH, position + 1)
            while length < most and tokens[position - length] == tokens[last - length]:
                length += 1
            if length > longest:
                source, longest = position, length
            if length == _LONGEST_MATCH:
                break
            position = self._previous[position]
        return source, longest


def _grade(length: int) -> int:
    """Return the index into the rates: 0 for matches of 2 and 3 tokens, plus one for each doubling."""
    return min(length.bit_length(), 5) - 2
