"""Pipeline: the one path from a caller to a model and back. Every wire format, batch line, rollout check and command
that runs a model takes it, and so does everything that loads or unloads one.

    record opened → name resolved → holds → checks → targets of the route, one after another → filters → caller

stages.py describes the stages, attempt.py what happens on one target. On exit everything is released in reverse order.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from llmos.core.errors import LLMOSError
from llmos.deployments.backend import Backend
from llmos.engine.messages import Tokenized
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.applications import Applications, app_of, check_is_model
from llmos.gateway.calls.attempt import AttemptPolicy, Attempts
from llmos.gateway.calls.call import Call, ModelCall
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.closing import Contexts, Streams
from llmos.gateway.calls.embedding import EmbedCall, Embeddings
from llmos.gateway.calls.output import Output
from llmos.gateway.calls.rating import RateCall, Ratings
from llmos.gateway.calls.record import Operation, Record, Recorder, is_target_fault
from llmos.gateway.calls.resolve import Resolution, Resolver
from llmos.gateway.calls.shadows import Shadows
from llmos.gateway.calls.stages import C, Stages
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

T = TypeVar("T")


class Replicas(Protocol):
    """The replicas of this machine."""

    async def stop(self, version_key: str) -> None:
        """Return when the version's running requests and its processes have ended."""


class Pipeline:
    """Runs calls, and loads and unloads the models that they need. Belongs to the event loop's thread."""

    def __init__(
        self,
        resolver: Resolver,
        attempts: Attempts,
        recorder: Recorder,
        *,
        counts: CallCounts,
        shadows: Shadows,
        replicas: Replicas,
        stages: Stages | None = None,
        applications: Applications | None = None,
    ) -> None:
        """`counts` is one of the recorder's sinks; it knows which models are busy. `applications`: None where none is
        hosted."""
        self._resolver, self._attempts, self._recorder = resolver, attempts, recorder
        self._counts, self._stages = counts, stages or Stages()
        self._replicas, self._applications = replicas, applications
        self.shadows = shadows

    @asynccontextmanager
    async def generate(self, call: Call, *, is_streamed: bool = True) -> AsyncIterator[Answer]:
        """Run the call. The body begins when every prompt is accepted. Where the route has another target to fall back
        on, or a time limit, it begins with the first token, or with the whole answer unless `is_streamed`.

        Leaving the context, however it is left, stops what still runs and closes the record.
        Raises the LLMOSError that says why there is no answer, on entry or out of the answer's deltas.
        """
        async with self._accepted(call, "generate") as (call, record, resolution), Contexts() as contexts:
            record.is_streamed = is_streamed

            async def run(target: str, policy: AttemptPolicy) -> Answer:
                return await contexts.enter(self._attempts.generate(record, resolution, target, call, policy))

            answer, target = await self._first_to_answer(record, resolution, run, is_streamed=is_streamed)
            streams = await contexts.enter(Streams())
            is_computed = answer.cache_age_seconds is None
            comparison = self.shadows.choose(resolution, record, answer, target) if is_computed else None
            if comparison is not None:
                answer.deltas = streams.add(comparison.observe(answer.deltas))
            record.warn = answer.warn
            for stage in self._stages.filters:
                filtered = stage(answer.deltas, record)
                if filtered is not answer.deltas:
                    answer.deltas = streams.add(filtered)
            if self._stages.makes_receipts:
                # The last one, so that it sees what the caller gets.
                record.output, answer.has_receipt = Output(call.num_choices), True
                answer.deltas = streams.add(record.output.observe(answer.deltas))
            yield answer
        # An answer that a guardrail cut can't be compared.
        if comparison is not None and (record.screening is None or not record.screening.has_blocked):
            self.shadows.begin(comparison)

    async def embed(self, call: EmbedCall) -> Embeddings:
        """Turn the call's inputs into vectors. Cancelling stops what still runs; what was computed is recorded."""
        async with self._accepted(call, "embed") as (call, record, resolution):
            embeddings = await self._attempts.embed(record, resolution, call)
            if self._stages.makes_receipts:
                record.embeddings, embeddings.has_receipt = embeddings, True
            return embeddings

    async def rate(self, call: RateCall) -> Ratings:
        """Score texts that the call gives. Cancelling stops what still runs."""
        async with self._accepted(call, "rate") as (call, record, resolution):

            async def run(target: str, policy: AttemptPolicy) -> Ratings:
                return await self._attempts.rate(record, resolution, target, call, policy)

            ratings, _ = await self._first_to_answer(record, resolution, run, is_streamed=False)
            if self._stages.makes_receipts:
                record.ratings, ratings.has_receipt = ratings, True
            return ratings

    async def count(self, call: Call) -> int:
        """Return how many tokens the prompts of the call have. Nothing is computed."""
        async with self._accepted(call, "count") as (call, record, resolution):
            target = resolution.order(call.caller, record.id)[0]
            return await self._attempts.count(record, resolution, target, call)

    async def tokenize(self, call: Call, *, adds_bos: bool = True, adds_generation_prompt: bool = True) -> Tokenized:
        """Return the tokens of the call's one prompt. Nothing is computed. See engine.messages.Tokenize."""
        async with self._accepted(call, "count") as (call, record, resolution):
            return await self._attempts.tokenize(
                record, resolution, call, adds_bos=adds_bos, adds_generation_prompt=adds_generation_prompt
            )

    async def backend(self, name: str) -> Backend:
        """Return the backend that gets most of the calls to a name. Raises ModelNotFound, UntrustedModel."""
        check_is_model(name)
        resolution = await self._resolver.resolve(name)
        return resolution.backend(resolution.main)

    async def load(self, name: str, caller: Caller, *, wait: bool = False) -> str:
        """Load the model behind a name, and return the reference of what answers.

        `wait`: however long that takes. Raises PermissionDenied, and what is wrong with the model.
        """
        caller.check(Permission.DEPLOYMENTS_WRITE)
        caller.check_model(name)
        backend = await self.backend(name)
        await backend.ensure(wait=wait)
        return backend.served.ref

    async def unload(self, name: str, caller: Caller) -> str:
        """Unload the model behind a name unless calls are running on it, and return its reference."""
        caller.check(Permission.DEPLOYMENTS_WRITE)
        caller.check_model(name)
        backend = await self.backend(name)
        if not self._counts.of(backend.replica_ref).running:
            await backend.stop()
        return backend.served.ref

    async def stop(self, version: str, caller: Caller) -> None:
        """Stop the replicas of a version, whether or not it is still stored, after their running requests have ended.

        The next request for the version loads it again.
        """
        caller.check(Permission.DEPLOYMENTS_WRITE)
        await self._replicas.stop(version)

    @asynccontextmanager
    async def _accepted(self, call: C, operation: Operation) -> AsyncIterator[tuple[C, Record, Resolution]]:
        """Open the record and pass the stages that apply to the whole call. They exit in reverse order.

        Errors name the caller's own fields.
        """
        field_names = call.field_names
        with self._recorder.open(call, operation) as record:
            try:
                call.caller.check_model(call.model)
                resolution = await self._resolution(call)
                record.application = None if resolution.application is None else resolution.application.app
                record.route = None if resolution.route is None else resolution.route.name
                record.resolution = resolution
                async with Contexts() as contexts:
                    for hold in self._stages.holds:
                        call = await contexts.enter(hold(call, record))
                    record.held_at = time.perf_counter()
                    for check in self._stages.checks:
                        call = await check(call, record)
                    record.checked_at = time.perf_counter()
                    yield call, record, resolution
            except LLMOSError as error:
                field_names.rename(error)
                raise

    async def _resolution(self, call: ModelCall) -> Resolution:
        if app_of(call.model) is None or self._applications is None:
            return await self._resolver.resolve(call.model)
        return await self._applications.resolve(call)

    async def _first_to_answer(
        self,
        record: Record,
        resolution: Resolution,
        run: Callable[[str, AttemptPolicy], Awaitable[T]],
        *,
        is_streamed: bool,
    ) -> tuple[T, str]:
        """Return the answer of the first target that gives one, and which target it was.

        `run`: runs the call on a target.
        """
        # Background calls wait for others, however long that takes.
        route, caller = resolution.route, record.caller
        seconds = None if route is None or caller.is_background else route.timeout_seconds
        *others, last = resolution.order(caller, record.id)
        for target in others:
            policy = AttemptPolicy(seconds=seconds, can_fall_back=True, is_streamed=is_streamed)
            try:
                return await run(target, policy), target
            except LLMOSError as error:
                if not is_target_fault(error):
                    raise
        return await run(last, AttemptPolicy(seconds=seconds, is_streamed=is_streamed)), last
