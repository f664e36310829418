"""How much a request still asks of its replica, and which replica should have the next one. Knows no process."""

import hashlib
from collections.abc import Sequence

from llmos.engine.messages import Delta, Embed, Event, Generate, Started

DEFAULT_OUTPUT_TOKENS = 256
"""What an answer is taken to come to whose caller sets no limit."""

BYTES_PER_TOKEN = 4

STICKY_TOKENS = 256
"""A caller's replica may have so many more tokens in flight than the least busy one and still gets the caller's next
request: it has the beginning of the prompt in its cache, which is worth about as much."""


class OpenRequest:
    """One open request, as a number of tokens that falls as its answer comes."""

    def __init__(self, request: Generate | Embed) -> None:
        self.caller = request.caller
        self.num_choices = request.sampling.n if isinstance(request, Generate) else 1
        self._num_prompt_tokens = _prompt_tokens(request)
        each = request.sampling.max_tokens or DEFAULT_OUTPUT_TOKENS if isinstance(request, Generate) else 0
        self._num_expected = self.num_choices * each
        self._num_written: dict[int, int] = {}

    @property
    def tokens(self) -> int:
        """At least one for each choice: the estimate may have been too low."""
        return self._num_prompt_tokens + max(self.num_choices, self._num_expected - sum(self._num_written.values()))

    def on_event(self, event: Event) -> None:
        if isinstance(event, Delta):
            self._num_prompt_tokens = 0
            self._num_written[event.index] = event.num_output_tokens
        elif isinstance(event, Started):
            self._num_prompt_tokens = event.num_prompt_tokens


def choose_replica(tokens_in_flight: Sequence[int], names: Sequence[str], caller: str) -> int:
    """Return which of the replicas, by their names, should have a request of this caller.

    The one with the least tokens in flight; or the one that the caller's requests prefer, by a hash of both names,
    while that is hardly busier.
    """
    least = min(range(len(names)), key=lambda place: (tokens_in_flight[place], place))
    if not caller:
        return least
    preferred = max(range(len(names)), key=lambda place: _affinity(caller, names[place]))
    return preferred if tokens_in_flight[preferred] <= tokens_in_flight[least] + STICKY_TOKENS else least


def _affinity(caller: str, name: str) -> bytes:
    """Rendezvous hashing: a replica that comes or goes moves only the callers that are or were its own."""
    return hashlib.blake2b(f"{caller}\0{name}".encode(), digest_size=8).digest()


def _prompt_tokens(request: Generate | Embed) -> int:
    """A guess, until the replica says. Cheap: the texts' lengths."""
    if isinstance(request, Embed):
        return sum(_tokens_of(each) for each in request.inputs)
    if request.messages is not None:
        texts = [message.get("content") for message in request.messages]
        return sum(_tokens_of(text) for text in texts if isinstance(text, str))
    return _tokens_of(request.tokens or request.text or request.user_text or "")


def _tokens_of(prompt: str | list[int]) -> int:
    return len(prompt) // BYTES_PER_TOKEN if isinstance(prompt, str) else len(prompt)
