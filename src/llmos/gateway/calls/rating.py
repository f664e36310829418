"""RateCall and Ratings: texts whose likelihood is asked for, and what the model makes of them, independent of the wire
format.

The continuations of a call are options: each is scored alone behind the prompt, and then compared with the others.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, fsum
from typing import Literal

from llmos.core.errors import BadRequest
from llmos.deployments.backend import Backend
from llmos.deployments.served_model import ServedModel
from llmos.engine.messages import MAX_CONTINUATIONS, Generate, Rate, Rated, TokenScore
from llmos.gateway.calls.answer import finite
from llmos.gateway.calls.call import Prompt, PromptedCall
from llmos.gateway.calls.record import Attempt

_MAX_BYTES_PER_CHARACTER = 4

Continuation = str | list[int]
"""A text, or token ids."""

Normalize = Literal["none", "tokens", "bytes"]
"""The divisor of a continuation's log probability before options are compared: the number of its tokens or bytes, or
1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateCall(PromptedCall):
    """A call that scores given texts, and generates none."""

    prompt: Prompt
    continuations: Sequence[Continuation] = ()
    """Each is scored directly behind the prompt."""
    scores_prompt: bool = False
    """Score the prompt's own tokens, too."""
    num_top: int = 0
    """The most likely tokens to report at each position."""
    id_prefix: str = "likelihood"

    def command(self, request: Generate) -> Rate:
        """Return the message to a replica. `request`: the call's prompt, and who asks."""
        return Rate(
            request=request,
            continuations=list(self.continuations),
            scores_prompt=self.scores_prompt,
            num_top=self.num_top,
        )


@dataclass(slots=True)
class Ratings:
    """The scores of a call's texts."""

    id: str
    call: RateCall
    served: ServedModel
    attempt: Attempt
    """The part of the call's record that is kept up to date here."""
    rated: Rated
    has_receipt: bool = False
    """A receipt will be found by the id."""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.attempt.is_accepted = True
        self.attempt.num_prompt_tokens = self.num_tokens
        self.attempt.num_cached_tokens = self.rated.num_cached_tokens
        self.attempt.queued_seconds = self.rated.queued_micros / 1e6

    @property
    def num_tokens(self) -> int:
        """The tokens of the prompt, once, and of all continuations, computed or not."""
        return self.rated.num_prompt_tokens + sum(map(len, self.rated.continuations))

    def logprobs(self) -> list[list[float]]:
        """Return the log probability of each token of each continuation."""
        return [[finite(token.logprob) for token in tokens] for tokens in self.rated.continuations]

    def prompt_logprobs(self) -> list[float | None] | None:
        """Return that of each token of the prompt; None for the first, which has nothing before it. None: it isn't
        scored."""
        if self.rated.prompt_start is None:
            return None
        return [None, *(finite(token.logprob) for token in self.rated.prompt)]

    def normalized(self, how: Normalize) -> list[float]:
        """Return the log probability of each continuation, divided by what `how` says."""
        sums = map(fsum, self.logprobs())
        return [total / self._length(i, how) for i, total in enumerate(sums)]

    def _length(self, index: int, how: Normalize) -> int:
        tokens = self.rated.continuations[index]
        if how == "none":
            return 1
        return max(1, len(tokens) if how == "tokens" else sum(len(token.bytes) for token in tokens))


def probabilities(logprobs: Sequence[float]) -> list[float]:
    """Return the softmax: what each has of the options' joint probability. Their sum is 1."""
    if not logprobs:
        return []
    # exp() of the difference to the largest neither overflows nor makes all of them zero.
    largest = max(logprobs)
    weights = [exp(logprob - largest) for logprob in logprobs]
    total = fsum(weights)
    return [weight / total for weight in weights]


def text_of(tokens: Sequence[TokenScore]) -> str:
    return b"".join(token.bytes for token in tokens).decode(errors="replace")


def check_continuations(continuations: Sequence[Continuation], field: str, *, may_be_empty: bool = False) -> None:
    """Raise BadRequest, naming the field, for too many continuations, none, and those without anything to score."""
    if len(continuations) > MAX_CONTINUATIONS:
        raise BadRequest(
            f"`{field}` has {len(continuations):,} texts; a call takes {MAX_CONTINUATIONS:,}. Split them: the prompt is"
            " cached, so that several calls cost no more.",
            param=field,
        )
    if not continuations and not may_be_empty:
        raise BadRequest(f"`{field}` is empty: send at least one text.", param=field)
    for i, each in enumerate(continuations):
        if not each:
            kind = "text" if isinstance(each, str) else "list of tokens"
            raise BadRequest(f"`{field}[{i}]` is an empty {kind}, which has no tokens to score.", param=f"{field}[{i}]")


async def check_lengths(call: RateCall, command: Rate, backend: Backend) -> None:
    """Raise PromptTooLong for a prompt that is longer, with one of its continuations, than the caller may send.

    Costs nothing for callers without such a limit.
    """
    if (limit := call.max_prompt_tokens) is None:
        return
    num_prompt_tokens = await backend.count(command.request)
    call.check_length(num_prompt_tokens)
    for each in command.continuations:
        num_tokens = len(each) if isinstance(each, list) else 0
        # No token has less than a byte, so most texts needn't be counted.
        if isinstance(each, str) and num_prompt_tokens + _MAX_BYTES_PER_CHARACTER * len(each) > limit:
            num_tokens = await backend.count(Generate(id=command.id, text=each, caller=command.request.caller))
        call.check_length(num_prompt_tokens + num_tokens)
