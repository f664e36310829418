"""A request in the engine: which of its sequences are queued, which come later, and the scores of its given tokens."""

import time
from collections import deque

from llmos.engine.messages import Rated
from llmos.engine.request import Prepared
from llmos.engine.scheduling.sequence import Choice, Sequence

MAX_QUEUED_BRANCHES = 32
"""The sequences of one scoring request that wait or run at once. Further ones follow as these end, so that a thousand
texts advance beside the other requests of their caller, and delay nobody's admission."""


class LiveRequest:
    """The sequences of a request that has not ended.

    All choices of an answer are queued at once. If given tokens are scored, the first sequence computes the prompt, and
    the others follow when they can take it from the prefix cache: so each token of the prompt is scored once, and no
    choice begins before the scores are sent.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.id = prepared.id
        self.queued: set[Sequence] = set()
        """Its sequences in the scheduler."""
        self.rating = prepared.rating
        self.empty_choices = prepared.empty_choices
        """Sent behind the scores."""
        self.num_computed_tokens = 0
        """Tokens that went through the model, counted for the scores."""
        self._admitted_at = time.perf_counter()
        self._num_prompt_tokens = prepared.num_prompt_tokens
        self._first = prepared.sequences[0]
        self._later = deque(prepared.sequences)

    @property
    def has_ended(self) -> bool:
        return not (self.queued or self._later)

    @property
    def num_given_tokens(self) -> int:
        """Tokens of the prompt, and of the texts that are scored behind it."""
        return self._num_prompt_tokens + (self.rating.num_continuation_tokens if self.rating else 0)

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that were found in the prefix cache."""
        return self._first.num_cached_tokens

    @property
    def queued_micros(self) -> int:
        """Return how long its first sequence waited for room in the batch."""
        return max(0, round((self._first.scheduled_at - self._admitted_at) * 1e6))

    def take_next(self) -> list[Sequence]:
        """Return the sequences that are to be queued now, which are `queued` from now on."""
        taken = []
        while self._later and self._may_queue():
            taken.append(self._later.popleft())
            self.queued.add(taken[-1])
        return taken

    def rated(self) -> Rated:
        """Return the scores, which must be complete."""
        assert self.rating is not None
        return self.rating.result(
            num_prompt_tokens=self._num_prompt_tokens,
            num_cached_tokens=self.num_cached_tokens,
            num_computed_tokens=self.num_computed_tokens,
            queued_micros=self.queued_micros,
        )

    def _may_queue(self) -> bool:
        if self.rating is None or self._later[0] is self._first:
            return True
        if len(self.queued) >= MAX_QUEUED_BRANCHES:
            return False
        if isinstance(self._first, Choice):
            return self._first.output.num_tokens > 0
        return self._first not in self.queued or self._first.num_computed >= self._first.fork
