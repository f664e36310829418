"""Load balancing: how many tokens an open request has left, and which replica gets the next one. Knows no process."""

import hashlib
from collections.abc import Sequence

from llmos.engine.messages import Delta, Embed, Event, Generate, Rate, Started

DEFAULT_OUTPUT_TOKENS = 256
"""Assumed length of an answer whose request sets no max_tokens."""

BYTES_PER_TOKEN = 4

STICKY_TOKENS = 256
"""Tokens in flight that a caller's preferred replica may have more than the least busy one. Its cache holds the
beginning of the caller's prompts, which saves about this much work."""


class OpenRequest:
    """A request that has not ended, measured in tokens that are left to compute."""

    def __init__(self, request: Generate | Rate | Embed) -> None:
        self.caller = request.caller
        self.num_choices = request.sampling.n if isinstance(request, Generate) else 1
        self._num_prompt_tokens = _estimate_prompt_tokens(request)
        each = request.sampling.max_tokens or DEFAULT_OUTPUT_TOKENS if isinstance(request, Generate) else 0
        self._max_output_tokens = self.num_choices * each
        self._num_output_tokens: dict[int, int] = {}
        """Choice index -> tokens so far."""

    @property
    def tokens(self) -> int:
        """Tokens that are left, at least one for each choice: the estimate may have been too low."""
        num_left = self._max_output_tokens - sum(self._num_output_tokens.values())
        return self._num_prompt_tokens + max(self.num_choices, num_left)

    def on_event(self, event: Event) -> None:
        """Update the count by what the replica has sent."""
        if isinstance(event, Delta):
            self._num_prompt_tokens = 0
            self._num_output_tokens[event.index] = event.num_output_tokens
        elif isinstance(event, Started):
            self._num_prompt_tokens = event.num_prompt_tokens


def choose_replica(tokens_in_flight: Sequence[int], names: Sequence[str], caller: str) -> int:
    """Return the index of the replica that gets a request of this caller.

    That is the replica with the fewest tokens in flight, unless the caller's preferred replica, by a hash of both
    names, has at most STICKY_TOKENS more. An empty caller has no preference.
    """
    least = min(range(len(names)), key=lambda index: (tokens_in_flight[index], index))
    if not caller:
        return least
    preferred = max(range(len(names)), key=lambda index: _affinity(caller, names[index]))
    return preferred if tokens_in_flight[preferred] <= tokens_in_flight[least] + STICKY_TOKENS else least


def _affinity(caller: str, name: str) -> bytes:
    """Rendezvous hash: adding or removing a replica moves only the callers that prefer it."""
    return hashlib.blake2b(f"{caller}\0{name}".encode(), digest_size=8).digest()


def _estimate_prompt_tokens(request: Generate | Rate | Embed) -> int:
    """Estimate by the length of the text, which is cheap. The replica sends the true number in Started."""
    if isinstance(request, Rate):
        return _estimate_prompt_tokens(request.request) + sum(map(_estimate_tokens, request.continuations))
    if isinstance(request, Embed):
        pairs = sum(_estimate_tokens(text) for pair in request.pairs for text in pair)
        return pairs + sum(_estimate_tokens(each) for each in request.inputs)
    if request.messages is not None:
        texts = [message.get("content") for message in request.messages]
        return sum(_estimate_tokens(text) for text in texts if isinstance(text, str))
    return _estimate_tokens(request.tokens or request.text or request.user_text or "")


def _estimate_tokens(prompt: str | list[int]) -> int:
    return len(prompt) // BYTES_PER_TOKEN if isinstance(prompt, str) else len(prompt)
