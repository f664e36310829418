"""The one way from a caller to a model and back: every wire format crosses `answer` or `embed`.

No route runs a model itself.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.core.errors import ReplicaFailed
from llmos.core.ids import new_id
from llmos.engine.messages import (
    BACKGROUND_PRIORITY,
    AdapterFiles,
    Delta,
    Event,
    FinishReason,
    Generate,
    Grammar,
    SamplingParams,
    Started,
    TokenLogprob,
    ToolCallDelta,
    Tools,
)
from llmos.engine.recommended import RECOMMENDABLE
from llmos.gateway.abilities import check_embeds, check_writes
from llmos.gateway.embedding import CHUNKS_AT_ONCE, EmbedCall, Embeddings
from llmos.gateway.merging import merge
from llmos.gateway.origin import Origin as Origin
from llmos.gateway.services import Services
from llmos.models.versions import Version


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One of messages, user_text, text and tokens, as in engine.messages.Generate."""

    messages: list[dict[str, Any]] | None = None
    continues: bool = False
    """The last message is the beginning of the answer."""
    user_text: str | None = None
    text: str | None = None
    tokens: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen, and which of it the caller said."""

    params: SamplingParams
    given: frozenset[str] = frozenset(RECOMMENDABLE)

    def on(self, version: Version) -> SamplingParams:
        """Fill in what the version's makers recommend."""
        recommended = {name: value for name, value in version.sampling.items() if name not in self.given}
        return msgspec.structs.replace(self.params, **recommended) if recommended else self.params


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What a caller wants, freed of the wire format that it came in."""

    model: str
    """The name that was asked for: a Route, or a reference of a model."""
    prompts: Sequence[Prompt]
    sampling: Sampling
    grammar: Grammar | None = None
    tools: Tools | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    echo: bool = False
    origin: Origin = field(default_factory=Origin)
    id_prefix: str = "answer"

    @property
    def num_choices(self) -> int:
        """Of all prompts together."""
        return len(self.prompts) * self.sampling.params.n


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


class Answer:
    """A call that was accepted: who answers it, what it has cost so far, and the deltas as they come."""

    def __init__(self, id: str, call: Call, version: Version, began: float) -> None:
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
        """Twelve digits of the digest: the same weights, the same fingerprint."""
        return "fp_" + self.version.digest.rpartition(":")[2][:12]

    def timings(self) -> Timings:
        now = time.perf_counter()
        first_token_at = self._first_token_at or now
        return Timings(
            total=now - self._began,
            loading=self.loading_seconds,
            prompt=first_token_at - self._began - self.loading_seconds,
            answer=max(0.0, self._last_token_at - first_token_at),
        )

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
            assert isinstance(event, Delta), "the pool says Started once and then nothing but deltas"
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
        if self._first_token_at is not None:
            metrics.first_token_seconds.labels(version).observe(self._first_token_at - self._began)
            num_later = max(self.num_completion_tokens_of) - 1
            if num_later > 0:
                seconds = self._last_token_at - self._first_token_at
                metrics.per_token_seconds.labels(version).observe(seconds / num_later)


def join(calls: list[ToolCall], delta: ToolCallDelta) -> None:
    """Add what a step added to the calls of a choice."""
    if delta.index == len(calls):
        calls.append(ToolCall(delta.id, delta.name, ""))
    calls[delta.index].arguments += delta.arguments


_is_background: ContextVar[bool] = ContextVar("is_background", default=False)


@contextmanager
def in_background() -> Iterator[None]:
    """While the body runs, what this task answers comes after what people wait for, and takes no room in the queue.

    A variable of the task, so that no route has to hand it on, and none can forget to.
    """
    token = _is_background.set(True)
    try:
        yield
    finally:
        _is_background.reset(token)


@asynccontextmanager
async def answer(services: Services, call: Call, tenant: str) -> AsyncIterator[Answer]:
    """Run `call` on the Version that its name leads to. The body begins when every prompt has been accepted.

    Leaving the context, however it is left, stops what still runs and counts what was computed.
    Raises the LLMOSError that says why there is no answer, here or out of the answer's deltas.
    """
    began = time.perf_counter()
    version, loadable = await services.lookup.get(call.model)
    await check_writes(services, version)
    requests = _requests(call, version, tenant, loadable.adapter)
    running = Answer(requests[0].id, call, version, began)
    replica = loadable.version.ref
    async with AsyncExitStack() as stack:
        stack.enter_context(
            services.admission.admit(replica, requests[0].caller, call.num_choices, is_background=_is_background.get())
        )
        await services.pool.ensure(replica, loadable.files)
        running.loading_seconds = time.perf_counter() - began
        streams = [
            await stack.enter_async_context(aclosing(services.pool.generate(replica, loadable.files, request)))
            for request in requests
        ]
        running.num_prompt_tokens_of = await _start(streams)
        stack.callback(running.count, services)
        events = await stack.enter_async_context(aclosing(merge(streams)))
        running.deltas = await stack.enter_async_context(aclosing(running.read(events)))
        yield running


async def count(services: Services, call: Call, tenant: str) -> int:
    """Return how many tokens the prompts of `call` have on the Version that its name leads to. Nothing is computed.

    Raises the LLMOSError that says why they can't be counted.
    """
    version, loadable = await services.lookup.get(call.model)
    await check_writes(services, version)
    requests = _requests(call, version, tenant, loadable.adapter)
    replica = loadable.version.ref
    with services.admission.admit(replica, requests[0].caller, len(requests)):
        counts = [await services.pool.count(replica, loadable.files, request) for request in requests]
    return sum(counts)


async def embed(services: Services, call: EmbedCall, tenant: str) -> Embeddings:
    """Turn the texts of `call` into vectors on the Version that its name leads to.

    Cancelled, it stops what still runs. What was computed is counted, however it ends.
    Raises the LLMOSError that says why there are no vectors.
    """
    version, loadable = await services.lookup.get(call.model)
    await check_embeds(services, version)
    call_id = new_id(call.id_prefix)
    caller, priority = _turn(call.origin, tenant)
    chunks = list(call.chunks(call_id, caller, priority))
    embeddings = Embeddings(call_id, call, version, len(chunks))
    pending = iter(enumerate(chunks))

    async def go_on() -> None:
        for number, chunk in pending:
            embeddings.take(number, await services.pool.embed(version.ref, loadable.files, chunk))

    num_lanes = min(len(chunks), CHUNKS_AT_ONCE)
    with services.admission.admit(version.ref, caller, num_lanes, is_background=_is_background.get()):
        lanes = [asyncio.create_task(go_on()) for _ in range(num_lanes)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
            services.metrics.prompt_tokens.labels(version.ref).inc(embeddings.num_prompt_tokens)
            services.metrics.vectors.labels(version.ref).inc(embeddings.num_vectors)
    return embeddings


def _turn(origin: Origin, tenant: str) -> tuple[str, int]:
    """Return who takes turns with whom, and how urgently."""
    # A tenant's name has no line break, so no two tenants ever spell the same.
    caller = f"{tenant}\n{origin.user}"
    # An account of its own: what a tenant's batches were given is not held against the tenant's live calls.
    return (f"\n{caller}", BACKGROUND_PRIORITY) if _is_background.get() else (caller, origin.priority)


def _requests(call: Call, version: Version, tenant: str, adapter: AdapterFiles | None) -> list[Generate]:
    call_id, sampling = new_id(call.id_prefix), call.sampling.on(version)
    caller, priority = _turn(call.origin, tenant)
    return [
        Generate(
            id=f"{call_id}-{place}" if place else call_id,
            messages=prompt.messages,
            continues=prompt.continues,
            user_text=prompt.user_text,
            text=prompt.text,
            tokens=prompt.tokens,
            echo=call.echo,
            caller=caller,
            salt=f"{tenant}\n{call.origin.cache_salt}",
            priority=priority,
            grammar=call.grammar,
            tools=call.tools,
            template_options=dict(call.template_options),
            adapter=adapter,
            sampling=sampling,
        )
        for place, prompt in enumerate(call.prompts)
    ]


async def _start(streams: Sequence[AsyncIterator[Event]]) -> list[int]:
    """Wait until every prompt is accepted; return how many tokens each has."""
    firsts = await asyncio.gather(*(anext(stream) for stream in streams), return_exceptions=True)
    num_prompt_tokens_of = []
    for first in firsts:
        if isinstance(first, BaseException):
            raise first
        assert isinstance(first, Started), "the pool says Started before anything else"
        num_prompt_tokens_of.append(first.num_prompt_tokens)
    return num_prompt_tokens_of
