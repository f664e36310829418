"""Attempts: a call on one target of its route. Admission, then the backend, with the tokens counted as they come."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.core.errors import LLMOSError, Unavailable
from llmos.deployments.backend import Backend
from llmos.deployments.targets import remote_name
from llmos.engine.messages import (
    BACKGROUND_PRIORITY,
    Event,
    Generate,
    Rate,
    Rated,
    SamplingParams,
    Started,
    Tokenize,
    Tokenized,
)
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call, Prompt, PromptedCall
from llmos.gateway.calls.carried_tools import carryable_tools
from llmos.gateway.calls.closing import Streams
from llmos.gateway.calls.embedding import CHUNKS_AT_ONCE, EmbedCall, Embeddings
from llmos.gateway.calls.limits_hold import estimated_tokens
from llmos.gateway.calls.merging import merge
from llmos.gateway.calls.purchases import RemoteUse
from llmos.gateway.calls.rating import RateCall, Ratings, check_lengths
from llmos.gateway.calls.record import Attempt, Record, Recorder
from llmos.gateway.calls.resolve import Resolution
from llmos.gateway.calls.response_cache import Hit, ResponseCache, cache_key
from llmos.security.callers import Caller
from llmos.security.partitions import Partitions


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptPolicy:
    """The time limit of an attempt, and whether another target can still answer if it fails."""

    seconds: float | None = None
    """The limit for the first token, or for the complete answer if it isn't streamed. None: no limit."""
    can_fall_back: bool = False
    """Another target follows: nothing is sent to the caller before this one has begun to answer."""
    is_streamed: bool = True


class Attempts:
    def __init__(
        self, admission: Admission, recorder: Recorder, partitions: Partitions, cache: ResponseCache | None = None
    ) -> None:
        self._admission, self._recorder, self._partitions = admission, recorder, partitions
        self._cache = cache

    @asynccontextmanager
    async def generate(
        self, record: Record, resolution: Resolution, target: str, call: Call, policy: AttemptPolicy
    ) -> AsyncIterator[Answer]:
        """Run the call on the target. The body begins when every prompt is accepted, or later; see AttemptPolicy.

        Leaving the context stops what still runs. Raises the LLMOSError that says why there is no answer, on entry or
        out of the answer's deltas.
        """
        with self._recorder.attempt(record, target) as attempt:
            backend = resolution.backend(target)
            answer = Answer(record.id, call, backend.served, attempt)
            answer.application = resolution.application
            streams = Streams()
            try:
                try:
                    async with nullcontext() if policy.seconds is None else asyncio.timeout(policy.seconds):
                        await self._begin(streams, record, resolution, backend, answer)
                        if policy.can_fall_back or policy.seconds is not None:
                            ahead = await answer.read_ahead(until_end=not policy.is_streamed)
                            answer.deltas = streams.add(ahead)
                except TimeoutError:
                    raise _too_slow(resolution.name, backend, policy) from None
                yield answer
            finally:
                await streams.close()

    async def embed(self, record: Record, resolution: Resolution, call: EmbedCall) -> Embeddings:
        """Return the vectors of the call's inputs. Cancelling stops what still runs."""
        # Vectors of two models can't be compared, so a route to such a model has one target.
        with self._recorder.attempt(record, resolution.main) as attempt:
            backend = resolution.backend(resolution.main)
            in_pairs = await _check_embeds(backend, call)
            chunks = list(call.chunks(record.id, call.caller.fairness_key, _priority(call.caller), in_pairs=in_pairs))
            embeddings = Embeddings(record.id, call, backend.served, attempt, len(chunks), in_pairs=in_pairs)
            num_lanes = min(len(chunks), CHUNKS_AT_ONCE)
            with self._admission.admit(_record_backend(attempt, backend), call.caller, num_lanes):
                self._recorder.admitted(record, attempt)
                began = time.perf_counter()
                await backend.ensure()
                attempt.loading_seconds = time.perf_counter() - began
                attempt.is_accepted = True
                pending = iter(enumerate(chunks))

                async def run_lane() -> None:
                    for index, chunk in pending:
                        embeddings.take(index, await backend.embed(chunk))

                await _gather([run_lane() for _ in range(num_lanes)])
            return embeddings

    async def rate(
        self, record: Record, resolution: Resolution, target: str, call: RateCall, policy: AttemptPolicy
    ) -> Ratings:
        """Return the scores of the call's texts. Cancelling stops the work."""
        with self._recorder.attempt(record, target) as attempt:
            backend = resolution.backend(target)
            await backend.check_rates()
            command = call.command(self._request(call, call.prompt, record.id, backend, SamplingParams()))
            # All continuations share one prompt, and each is far shorter than an answer.
            with self._admission.admit(_record_backend(attempt, backend), call.caller, 1):
                self._recorder.admitted(record, attempt)
                began = time.perf_counter()
                try:
                    async with asyncio.timeout(policy.seconds):
                        await backend.ensure()
                        attempt.loading_seconds = time.perf_counter() - began
                        await check_lengths(call, command, backend)
                        rated = await _rate(backend, command, call, attempt)
                except TimeoutError:
                    raise _too_slow(resolution.name, backend, policy) from None
            return Ratings(record.id, call, backend.served, attempt, rated)

    async def count(self, record: Record, resolution: Resolution, target: str, call: Call) -> int:
        """Return the number of tokens in the call's prompts. Nothing is computed."""
        with self._recorder.attempt(record, target) as attempt:
            backend = resolution.backend(target)
            await backend.check_counts()
            requests = self._requests(call, record.id, backend)
            with self._admission.admit(_record_backend(attempt, backend), call.caller, len(requests)):
                self._recorder.admitted(record, attempt)
                return sum([await backend.count(request) for request in requests])

    async def count_prompts(
        self, record: Record, backend: Backend, call: Call | RateCall, prompts: Sequence[Prompt]
    ) -> int:
        """Return the number of tokens in the prompts of a call that hasn't begun. Raises BadRequest if it can't."""
        await backend.check_counts()
        requests = [self._request(call, each, f"{record.id}-count", backend, SamplingParams()) for each in prompts]
        return sum([await backend.count(request) for request in requests])

    async def tokenize(
        self, record: Record, resolution: Resolution, call: Call, *, adds_bos: bool, adds_generation_prompt: bool
    ) -> Tokenized:
        """Return the tokens of the call's one prompt. Nothing is computed."""
        with self._recorder.attempt(record, resolution.main) as attempt:
            backend = resolution.backend(resolution.main)
            await backend.check_counts()
            (request,) = self._requests(call, record.id, backend)
            with self._admission.admit(_record_backend(attempt, backend), call.caller, 1):
                self._recorder.admitted(record, attempt)
                command = Tokenize(request=request, adds_bos=adds_bos, adds_generation_prompt=adds_generation_prompt)
                return await backend.tokenize(command)

    async def _begin(
        self, streams: Streams, record: Record, resolution: Resolution, backend: Backend, answer: Answer
    ) -> None:
        """Return when every prompt is accepted. Closing the streams stops what still runs."""
        call, attempt, began = answer.call, answer.attempt, time.perf_counter()
        await backend.check_generates()
        if call.prompt_logprobs is not None:
            await backend.check_rates()
        requests = self._requests(call, record.id, backend)
        attempt.sampling, attempt.given = requests[0].sampling, call.sampling.given
        if remote_name(backend.served.ref) is not None:
            attempt.remote = RemoteUse.of(call, requests[0].sampling.max_tokens)
        cache = self._cache if resolution.route is not None and resolution.route.cache else None
        key = None if cache is None or record.shadow_of is not None else cache_key(requests, backend)
        if cache is not None and key is not None:
            hit = cache.get(key, call.cache_control)
            attempt.is_from_cache = hit is not None
            if hit is not None:
                _record_backend(attempt, backend)
                await _take(streams, hit, answer)
                return
        streams.hold(self._admission.admit(_record_backend(attempt, backend), call.caller, call.num_choices))
        self._recorder.admitted(record, attempt)
        await backend.ensure()
        attempt.loading_seconds = time.perf_counter() - began
        # Another version of an application may have come meanwhile.
        _record_backend(attempt, backend)
        answer.served = backend.served
        texts = [streams.add(backend.generate(request, call.sampling.given)) for request in requests]
        started = await _start(texts)
        answer.accept(started)
        events = streams.add(merge(texts))
        if cache is not None and key is not None and call.cache_control.may_write:
            project, num_choices = call.caller.project, call.num_choices
            recording = cache.recording(key, project, started, events, num_choices=num_choices)
            events = streams.add(recording)
        answer.deltas = streams.add(answer.read(events))

    def _requests(self, call: Call, call_id: str, backend: Backend) -> list[Generate]:
        """Return one request for each prompt."""
        sampling = call.sampling.with_defaults(backend.served.sampling)
        requests = [
            self._request(call, prompt, f"{call_id}-{index}" if index else call_id, backend, sampling)
            for index, prompt in enumerate(call.prompts)
        ]
        return [
            msgspec.structs.replace(request, echo=call.echo, grammar=call.grammar, prompt_logprobs=call.prompt_logprobs)
            for request in requests
        ]

    def _request(
        self, call: PromptedCall, prompt: Prompt, id: str, backend: Backend, sampling: SamplingParams
    ) -> Generate:
        """Return what every request with a prompt has: the prompt, who asks, and the adapter."""
        return Generate(
            id=id,
            messages=prompt.messages,
            continue_final_message=prompt.continues,
            user_text=prompt.user_text,
            text=prompt.text,
            parse_special=prompt.parse_special,
            suffix=prompt.suffix,
            tokens=prompt.tokens,
            caller=call.caller.fairness_key,
            cache_salt=self._partitions.of(call.caller.project, call.cache_salt),
            priority=_priority(call.caller),
            tools=call.tools and carryable_tools(call.tools),
            template_options=dict(call.template_options),
            adapter=backend.adapter,
            sampling=sampling,
        )


async def _take(streams: Streams, hit: Hit, answer: Answer) -> None:
    """Make the answer that of the cache. It is counted as if its whole prompt had been found in the prefix cache."""
    answer.accept(hit.started)
    answer.cache_age_seconds = hit.age_seconds
    answer.attempt.num_cached_tokens = answer.num_prompt_tokens
    events = streams.add(hit.replay())
    answer.deltas = streams.add(answer.read(events))


def _record_backend(attempt: Attempt, backend: Backend) -> str:
    """Record which model answers. Returns the reference under which the call is admitted."""
    attempt.version, attempt.replica_ref = backend.served.ref, backend.replica_ref
    attempt.served = backend.served
    return backend.replica_ref


def _priority(caller: Caller) -> int:
    return BACKGROUND_PRIORITY if caller.is_background else caller.priority


async def _check_embeds(backend: Backend, call: EmbedCall) -> bool:
    """Return whether the call's inputs go to the backend in pairs. Raises BadRequest if it can't run the call."""
    if call.num_queries is None:
        await backend.check_embeds()
        return False
    return await backend.check_compares()


async def _rate(backend: Backend, command: Rate, call: RateCall, attempt: Attempt) -> Rated:
    """Return the scores. Until they are there, the tokens count by an estimate, which holds for callers who go away."""
    attempt.num_prompt_tokens = estimated_tokens(call)
    try:
        return await backend.rate(command)
    except LLMOSError:
        attempt.num_prompt_tokens = 0
        raise


async def _start(streams: Sequence[AsyncIterator[Event]]) -> list[Started]:
    """Wait until every prompt is accepted; return what is known of each."""
    if len(streams) == 1:  # The usual case needs no tasks.
        firsts: Sequence[Event | BaseException] = [await anext(streams[0])]
    else:
        firsts = await asyncio.gather(*(anext(stream) for stream in streams), return_exceptions=True)
    started = []
    for first in firsts:
        if isinstance(first, BaseException):
            raise first
        assert isinstance(first, Started), "a backend yields Started before anything else"
        started.append(first)
    return started


async def _gather(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines at the same time; if one fails, or this task is cancelled, end the others first."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _too_slow(name: str, backend: Backend, policy: AttemptPolicy) -> Unavailable:
    what = "first token" if policy.is_streamed else "answer"
    return Unavailable(
        f"{backend.served.ref} gave no {what} within {policy.seconds:g} seconds, the time limit of the route {name}."
        " Try again.",
        retry_after_seconds=1,
    )
