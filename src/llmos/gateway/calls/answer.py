"""What comes of a call: the deltas as they come, whole choices, and what it has cost so far."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from llmos.core.errors import ReplicaFailed
from llmos.deployments.providers.remote_model import Answering
from llmos.engine.messages import Counted, Delta, Event, FinishReason, TokenLogprob, ToolCallDelta
from llmos.gateway.calls.call import Call
from llmos.gateway.services import Services


@dataclass(slots=True)
class ToolCall:
    """One call of a function, when it is whole."""

    id: str
    name: str
    arguments: str
    """A JSON object."""


@dataclass(slots=True)
class WholeChoice:
    """One choice, when it has ended."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    stop_reason: str | int | None = None
    """The stop string or token that ended it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Where an answer's time went so far, in seconds."""

    total: float
    loading: float
    """Until the model was there; next to nothing where it was there already."""
    prompt: float
    """From then to the first token: the wait for a turn is part of it."""
    answer: float
    """From the first token to the last."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an answer came."""

    first_token_seconds: float
    tokens_per_second: float | None
    """After the first, of the longest choice. None where there was no more than that."""


class Answer:
    """A call that was accepted: who answers it, what it has cost so far, and the deltas as they come."""

    def __init__(self, id: str, call: Call, version: Answering, began: float) -> None:
        self.id = id
        self.call = call
        self.version = version
        self.created = int(time.time())
        self.num_prompt_tokens_of: list[int] = []
        """By prompt."""
        self.num_cached_tokens = 0
        """Of the prompts' tokens, those that were found in the prefix cache."""
        self.deltas: AsyncIterator[Delta]
        """What each step adds. Choice i of prompt p has index p * n + i. Read it to its end, once."""
        self.num_completion_tokens_of = [0] * call.num_choices
        self.loading_seconds = 0.0
        self._began = began
        self._first_token_at: float | None = None
        self._last_token_at = began

    @property
    def num_prompt_tokens(self) -> int:
        return sum(self.num_prompt_tokens_of)

    @property
    def num_completion_tokens(self) -> int:
        return sum(self.num_completion_tokens_of)

    @property
    def fingerprint(self) -> str:
        """Twelve digits of the digest: the same weights, the same fingerprint. Without a digest, the name alone."""
        return self.version.ref if self.version.digest is None else "fp_" + self.version.digest.rpartition(":")[2][:12]

    def timings(self) -> Timings:
        now = time.perf_counter()
        first_token_at = self._first_token_at or now
        return Timings(
            total=now - self._began,
            loading=self.loading_seconds,
            prompt=first_token_at - self._began - self.loading_seconds,
            answer=max(0.0, self._last_token_at - first_token_at),
        )

    def pace(self) -> Pace | None:
        """Return how fast the answer came, None where no token did."""
        if self._first_token_at is None:
            return None
        num_later, seconds = max(self.num_completion_tokens_of) - 1, self._last_token_at - self._first_token_at
        tokens_per_second = num_later / seconds if num_later > 0 and seconds > 0 else None
        return Pace(self._first_token_at - self._began, tokens_per_second)

    async def read_ahead(self, *, to_its_end: bool) -> AsyncGenerator[Delta, None]:
        """Read the first delta, or all, so that what goes wrong until then is raised here and nothing of it was sent.
        Return the deltas from the first one on."""
        deltas, held = self.deltas, []
        async for delta in deltas:
            held.append(delta)
            if not to_its_end:
                break
        return _chained(held, deltas)

    async def whole(self) -> list[WholeChoice]:
        """Read the deltas to their end and return what they come to."""
        choices = [WholeChoice() for _ in self.num_completion_tokens_of]
        texts: list[list[str]] = [[] for _ in choices]
        reasonings: list[list[str]] = [[] for _ in choices]
        async for delta in self.deltas:
            choice = choices[delta.index]
            texts[delta.index].append(delta.text)
            reasonings[delta.index].append(delta.reasoning)
            choice.logprobs += delta.logprobs
            for call in delta.tool_calls:
                join(choice.tool_calls, call)
            if delta.finish_reason is not None:
                choice.finish_reason, choice.stop_reason = delta.finish_reason, delta.stop_reason
        for choice, text, reasoning in zip(choices, texts, reasonings, strict=True):
            choice.text, choice.reasoning = "".join(text), "".join(reasoning)
        return choices

    async def read(self, events: AsyncIterator[tuple[int, Event]]) -> AsyncGenerator[Delta, None]:
        """Yield the deltas until every choice has its finish_reason. Raises the LLMOSError that ended one too early."""
        num_running = len(self.num_completion_tokens_of)
        async for place, event in events:
            if isinstance(event, Counted):  # A provider tells at its end how long the prompt was.
                self.num_prompt_tokens_of[place] = event.num_prompt_tokens
                continue
            assert isinstance(event, Delta), "whoever runs it says Started once, and then deltas"
            yield self._note(place, event)
            num_running -= event.finish_reason is not None
        if num_running:
            raise ReplicaFailed("The model's process stopped sending before the answer was whole. Try again.")

    def _note(self, place: int, delta: Delta) -> Delta:
        index = place * self.call.sampling.params.n + delta.index
        self.num_completion_tokens_of[index] = delta.num_output_tokens
        self.num_cached_tokens += delta.num_cached_tokens
        self._last_token_at = time.perf_counter()
        self._first_token_at = self._first_token_at or self._last_token_at
        return delta if index == delta.index else msgspec.structs.replace(delta, index=index)

    def count(self, services: Services) -> None:
        """Put what was computed, whoever still wanted it, into the metrics."""
        metrics, version = services.metrics, self.version.ref
        metrics.prompt_tokens.labels(version).inc(self.num_prompt_tokens)
        metrics.cached_prompt_tokens.labels(version).inc(self.num_cached_tokens)
        metrics.completion_tokens.labels(version).inc(self.num_completion_tokens)
        if (pace := self.pace()) is not None:
            metrics.first_token_seconds.labels(version).observe(pace.first_token_seconds)
            if pace.tokens_per_second is not None:
                metrics.per_token_seconds.labels(version).observe(1 / pace.tokens_per_second)


async def _chained(held: Sequence[Delta], rest: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
    for delta in held:
        yield delta
    async for delta in rest:
        yield delta


def join(calls: list[ToolCall], delta: ToolCallDelta) -> None:
    """Add what a step added to the calls of a choice."""
    if delta.index == len(calls):
        calls.append(ToolCall(delta.id, delta.name, ""))
    calls[delta.index].arguments += delta.arguments
