"""The given tokens that one sequence scores. Knows positions, no logits and no texts.

positions   [ 0   1   2   3   3   3   4   5 ]    ascending; several tokens may be scored behind one position
tokens      [ the token that is scored behind it ]
slots       [ where its score belongs among all scores of the request ]
              0 ...... num_scored
"""

from bisect import bisect_left
from collections.abc import Iterable

Target = tuple[int, int, int]
"""Position, token and slot."""


class ScoredTokens:
    """The tokens to score, in the order of their positions.

    A score is final. A sequence that is computed again after a preemption continues with the first token that has none.
    """

    __slots__ = ("num_scored", "num_top", "positions", "slots", "tokens")

    def __init__(self, targets: Iterable[Target] = (), *, num_top: int = 0) -> None:
        """`num_top`: the most likely tokens that are wanted at each position."""
        ordered = sorted(targets)
        self.positions = [position for position, _, _ in ordered]
        self.tokens = [token for _, token, _ in ordered]
        self.slots = [slot for _, _, slot in ordered]
        self.num_top = num_top
        self.num_scored = 0

    @property
    def next_position(self) -> int | None:
        """The first position that is still to be computed for a score; None if all are scored."""
        return self.positions[self.num_scored] if self.num_scored < len(self.positions) else None

    def up_to(self, end: int) -> range:
        """Return the indices of the tokens that are not scored yet and whose positions lie before `end`."""
        return range(self.num_scored, bisect_left(self.positions, end, self.num_scored))
