"""Answer: the result of a call that generates text. Its deltas, complete choices, and the counts so far."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from llmos.core.errors import ReplicaFailed
from llmos.deployments.served_model import ServedModel
from llmos.engine.messages import Counted, Delta, Event, FinishReason, Rated, Started, TokenLogprob
from llmos.gateway.calls.applications import ApplicationRun
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.record import Attempt, Timings
from llmos.gateway.calls.tool_calls import ArgumentChecker, CallWarning, ToolCall, add_tool_call


@dataclass(slots=True)
class CompleteChoice:
    """One complete choice."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    stop_reason: str | int | None = None
    """The stop string or token that ended it."""


class Answer:
    """A call that was accepted: the model that answers it, the deltas, and the tokens so far."""

    def __init__(self, id: str, call: Call, served: ServedModel, attempt: Attempt) -> None:
        self.id = id
        self.call = call
        self.served = served
        self.attempt = attempt
        """The part of the call's record that this answer keeps up to date."""
        self.has_receipt = False
        """A receipt will be found by the answer's id."""
        self.application: ApplicationRun | None = None
        """The run of the application that answers; its result is there when the deltas are read."""
        self.created = int(time.time())
        self.deltas: AsyncIterator[Delta]
        """The additions of each step. Choice i of prompt p has index p * n + i. Read once, to the end."""
        self.cache_age_seconds: float | None = None
        """The age of an answer out of the response cache; None for one that is computed."""
        self.ignored: list[str] = []
        """The caller's fields that had no effect; see messages.Started."""
        self.warnings: list[CallWarning] = []
        """Faults of the answer. Complete before the last delta is read."""
        self.warnings_of: dict[int, list[CallWarning]] = {}
        """The same by choice, for those that have any."""
        self._prompt_scores: dict[int, Rated] = {}
        self.num_prompt_tokens_of: list[int] = []
        """For each prompt."""
        self.num_completion_tokens_of = [0] * call.num_choices
        """For each choice."""

    @property
    def num_prompt_tokens(self) -> int:
        return sum(self.num_prompt_tokens_of)

    @property
    def num_cached_tokens(self) -> int:
        """The prompts' tokens that were found in the prefix cache."""
        return self.attempt.num_cached_tokens

    @property
    def num_completion_tokens(self) -> int:
        return sum(self.num_completion_tokens_of)

    @property
    def fingerprint(self) -> str:
        """Twelve digits of the digest: equal for equal weights. For a model without a known digest, its reference."""
        digest = self.served.digest
        return self.served.ref if digest is None else "fp_" + digest.rpartition(":")[2][:12]

    def timings(self) -> Timings:
        return self.attempt.timings()

    def accept(self, prompts: Sequence[Started]) -> None:
        """The backend has accepted every prompt. Raises PromptTooLong for one that the caller may not send."""
        for prompt in prompts:
            self.call.check_length(prompt.num_prompt_tokens)
        self.num_prompt_tokens_of = [prompt.num_prompt_tokens for prompt in prompts]
        # A limit that the model's authors recommend, or that the key has, is no field of the request.
        no_fields = set() if "max_tokens" in self.call.sampling.given else {"max_tokens"}
        ignored = [name for prompt in prompts for name in prompt.ignored if name not in no_fields]
        self.ignored = [self.call.field_names.name(name) for name in ignored]
        self.attempt.is_accepted, self.attempt.accepted_at = True, time.perf_counter()
        self.attempt.num_prompt_tokens = self.num_prompt_tokens

    def prompt_scores(self, index: int) -> Rated:
        """Return the scores of the prompt of a choice, for a call that asks for them. Known before its first delta.

        Raises ReplicaFailed if the backend has sent none.
        """
        if (rated := self._prompt_scores.get(index // self.call.sampling.params.n)) is None:
            raise ReplicaFailed("The model's process sent no scores of the prompt. Try again.")
        return rated

    async def read_ahead(self, *, until_end: bool) -> AsyncGenerator[Delta, None]:
        """Read the first delta, or all of them, so that a failure until then is raised here, before anything is sent.
        Return the deltas from the first one on."""
        deltas, held = self.deltas, []
        async for delta in deltas:
            held.append(delta)
            if not until_end:
                break
        return _chained(held, deltas)

    async def read_choices(self) -> list[CompleteChoice]:
        """Read the deltas to their end and return the complete choices."""
        choices = [CompleteChoice() for _ in self.num_completion_tokens_of]
        texts: list[list[str]] = [[] for _ in choices]
        reasonings: list[list[str]] = [[] for _ in choices]
        async for delta in self.deltas:
            choice = choices[delta.index]
            texts[delta.index].append(delta.text)
            reasonings[delta.index].append(delta.reasoning)
            choice.logprobs += delta.logprobs
            for call in delta.tool_calls:
                add_tool_call(choice.tool_calls, call)
            if delta.finish_reason is not None:
                choice.finish_reason, choice.stop_reason = delta.finish_reason, delta.stop_reason
        for choice, text, reasoning in zip(choices, texts, reasonings, strict=True):
            choice.text, choice.reasoning = "".join(text), "".join(reasoning)
        return choices

    async def read(self, events: AsyncIterator[tuple[int, Event]]) -> AsyncGenerator[Delta, None]:
        """Yield the deltas out of (prompt index, event) pairs until every choice has its finish_reason.

        Raises the LLMOSError that ended a choice too early.
        """
        num_running = len(self.num_completion_tokens_of)
        checker = None if self.call.tools is None else ArgumentChecker(self.call.tools, self.call.field_names)
        async for prompt_index, event in events:
            if isinstance(event, Counted):  # A provider reports the prompt's length at its end.
                self.num_prompt_tokens_of[prompt_index] = event.num_prompt_tokens
                self.attempt.num_prompt_tokens = self.num_prompt_tokens
                if self.attempt.remote is not None and event.reported is not None:
                    self.attempt.remote.reported.append(event.reported)
                continue
            if isinstance(event, Rated):
                self._prompt_scores[prompt_index] = event
                continue
            assert isinstance(event, Delta), "a backend yields Started once, and then deltas"
            delta = self._count(prompt_index, event)
            if checker is not None:
                faults = checker.push(delta)
                self.warn(delta.index, faults)
                self.attempt.num_warnings += len(faults)
            num_running -= event.finish_reason is not None
            if not num_running and self.attempt.remote is not None:
                self.attempt.remote.is_complete = True
            yield delta
        if num_running:
            raise ReplicaFailed("The model's process stopped sending before the answer was complete. Try again.")

    def warn(self, index: int, warnings: Sequence[CallWarning]) -> None:
        """Add warnings about a choice, before the delta that ends it."""
        if warnings:
            self.warnings += warnings
            self.warnings_of.setdefault(index, []).extend(warnings)

    def _count(self, prompt_index: int, delta: Delta) -> Delta:
        """Count the delta's tokens, and return it with the index of its choice among those of all prompts."""
        index = prompt_index * self.call.sampling.params.n + delta.index
        attempt, now = self.attempt, time.perf_counter()
        attempt.num_completion_tokens += delta.num_output_tokens - self.num_completion_tokens_of[index]
        attempt.longest_completion = max(attempt.longest_completion, delta.num_output_tokens)
        attempt.num_cached_tokens += delta.num_cached_tokens
        attempt.queued_seconds = max(attempt.queued_seconds, delta.queued_micros / 1e6)
        attempt.last_token_at = now
        if attempt.remote is not None:
            attempt.remote.count(delta)
        if attempt.first_token_at is None:
            attempt.first_token_at = now
        self.num_completion_tokens_of[index] = delta.num_output_tokens
        return delta if index == delta.index else msgspec.structs.replace(delta, index=index)


def finite(logprob: float) -> float:
    """Return the log probability as JSON can represent it: -9999 for minus infinity, as OpenAI sends it."""
    return max(logprob, -9999.0)


async def _chained(held: Sequence[Delta], rest: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
    for delta in held:
        yield delta
    async for delta in rest:
        yield delta
