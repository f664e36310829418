"""The one way from a caller to a model and back: every wire format crosses `answer` or `embed`.

No route runs a model itself.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from llmos.core.errors import BadRequest, LLMOSError, Unavailable
from llmos.core.ids import new_id
from llmos.deployments.providers.remote_model import Answering, RemoteModel
from llmos.deployments.rollouts.evidence import Comparison
from llmos.engine.messages import BACKGROUND_PRIORITY, AdapterFiles, Event, Generate, Started
from llmos.gateway.calls.abilities import check_embeds, check_writes
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.background import in_background, is_background
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.caller import Origin
from llmos.gateway.calls.embedding import CHUNKS_AT_ONCE, EmbedCall, Embeddings
from llmos.gateway.calls.merging import merge
from llmos.gateway.calls.outcomes import is_targets_fault, noted
from llmos.gateway.calls.resolve import End, Here, Way
from llmos.gateway.calls.shadows import MAX_SECONDS, Transcript, compared
from llmos.gateway.services import Services

_log = logging.getLogger(__name__)


@asynccontextmanager
async def answer(services: Services, call: Call, tenant: str, *, is_streamed: bool = True) -> AsyncIterator[Answer]:
    """Run `call` on what its name leads to. The body begins when every prompt has been accepted; where the name is a
    route with another target to fall back onto, when the first token is there, or the whole answer unless it
    `is_streamed`.

    Leaving the context, however it is left, stops what still runs and counts what was computed.
    Raises the LLMOSError that says why there is no answer, here or out of the answer's deltas.
    """
    way = await services.lookup.way(call.model)
    call_id = new_id(call.id_prefix)
    async with AsyncExitStack() as stack:
        running, target = await _first_to_answer(stack, services, way, call, call_id, tenant, is_streamed=is_streamed)
        shadow = _shadow_of(services, way, call_id, target)
        seen = Transcript(call.num_choices)
        if shadow is not None:
            running.deltas = await stack.enter_async_context(aclosing(seen.noting(running.deltas)))
        yield running
    if shadow is not None and services.shadows.has_room:
        services.shadows.begin(_run_shadow(services, way, shadow, running, seen, tenant))


async def _first_to_answer(
    stack: AsyncExitStack, services: Services, way: Way, call: Call, call_id: str, tenant: str, *, is_streamed: bool
) -> tuple[Answer, str]:
    """Return the answer of the first target that gives one, and which it was. Leaving the stack ends it."""
    *others, last = way.order(caller=tenant, user=call.origin.user, call_id=call_id)
    for target in others:
        attempt = _attempt(services, way, target, call, call_id, tenant, is_streamed=is_streamed, can_fall_back=True)
        try:
            return await stack.enter_async_context(attempt), target
        except LLMOSError as error:
            if not is_targets_fault(error):
                raise
    attempt = _attempt(services, way, last, call, call_id, tenant, is_streamed=is_streamed, can_fall_back=False)
    return await stack.enter_async_context(attempt), last


@asynccontextmanager
async def _attempt(
    services: Services,
    way: Way,
    target: str,
    call: Call,
    call_id: str,
    tenant: str,
    *,
    is_streamed: bool,
    can_fall_back: bool,
) -> AsyncIterator[Answer]:
    """Run the call on one target, within the route's time."""
    # What runs in the background waits for others, however long that takes.
    seconds = None if way.route is None or is_background() else way.route.timeout_seconds
    with noted(services.evidence, way.route, target) as note:
        end = way.end(target)
        note.answer = running = Answer(call_id, call, _version(end), time.perf_counter())
        note.version = running.version.ref
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    await _begin(stack, services, end, running, tenant)
                    if can_fall_back or seconds is not None:
                        ahead = await running.read_ahead(to_its_end=not is_streamed)
                        running.deltas = await stack.enter_async_context(aclosing(ahead))
            except TimeoutError:
                what = "first token" if is_streamed else "answer"
                raise Unavailable(
                    f"{note.version} gave no {what} within {seconds:g} seconds, the time that the route"
                    f" {way.name} gives. Try again.",
                    retry_after_seconds=1,
                ) from None
            yield running


def _version(end: End) -> Answering:
    return end if isinstance(end, RemoteModel) else end.version


def _shadow_of(services: Services, way: Way, call_id: str, answering: str) -> str | None:
    """Return the target that runs the call besides, where one does."""
    if way.route is None or is_background() or not services.shadows.has_room:
        return None
    shadow = way.route.shadow_of(call_id)
    return None if shadow == answering else shadow


async def _run_shadow(
    services: Services, way: Way, target: str, answered: Answer, seen: Transcript, tenant: str
) -> None:
    """Run the call of an answer on another target, and note how the two compare. Raises nothing."""
    assert way.route is not None, "only routes have shadows"
    call, seconds, began = answered.call, answered.timings().total, time.perf_counter()
    try:
        end, own = way.end(target), Transcript(call.num_choices)
        running = Answer(new_id("shadow"), call, _version(end), began)
        with in_background():
            async with asyncio.timeout(MAX_SECONDS), AsyncExitStack() as stack:
                await _begin(stack, services, end, running, tenant)
                async for _ in own.noting(running.deltas):
                    pass
        samplings = (call.sampling.on(each.version) for each in (answered, running))
        comparison = compared(
            seen,
            own,
            is_greedy=all(sampling.temperature == 0 for sampling in samplings),
            seconds=seconds,
            shadow_seconds=time.perf_counter() - began,
        )
    except TimeoutError:
        comparison = Comparison(seconds=seconds, error="timeout")
    except LLMOSError as error:
        comparison = Comparison(seconds=seconds, error=error.code)
    except Exception:
        _log.exception("The shadow %s of the route %s failed", target, way.name)
        comparison = Comparison(seconds=seconds, error="internal_error")
    services.evidence.record_comparison(way.route.name, target, comparison)


async def _begin(stack: AsyncExitStack, services: Services, end: End, running: Answer, tenant: str) -> None:
    """Return when every prompt has been accepted. Leaving the stack stops what still runs and counts it."""
    call, version, began = running.call, running.version, time.perf_counter()
    if isinstance(end, RemoteModel):
        requests = _requests(call, running.id, version, tenant)
        computed_by = end.ref
    else:
        await check_writes(services, end.version)
        requests = _requests(call, running.id, version, tenant, end.loadable.adapter)
        computed_by = end.loadable.version.ref
    stack.enter_context(
        services.admission.admit(computed_by, requests[0].caller, call.num_choices, is_background=is_background())
    )
    if not isinstance(end, RemoteModel):
        await services.pool.ensure(computed_by, end.loadable.files)
    running.loading_seconds = time.perf_counter() - began
    streams = [await stack.enter_async_context(aclosing(_events(services, end, call, request))) for request in requests]
    running.num_prompt_tokens_of = await _start(streams)
    stack.callback(running.count, services)
    events = await stack.enter_async_context(aclosing(merge(streams)))
    running.deltas = await stack.enter_async_context(aclosing(running.read(events)))


def _events(services: Services, end: End, call: Call, request: Generate) -> AsyncGenerator[Event, None]:
    if isinstance(end, RemoteModel):
        return services.remotes.generate(end, request, call.sampling.given)
    return services.pool.generate(end.loadable.version.ref, end.loadable.files, request)


async def count(services: Services, call: Call, tenant: str) -> int:
    """Return how many tokens the prompts of `call` have on the Version that its name leads to. Nothing is computed.

    Raises the LLMOSError that says why they can't be counted.
    """
    way = await services.lookup.way(call.model)
    call_id = new_id(call.id_prefix)
    end = way.end(way.order(caller=tenant, user=call.origin.user, call_id=call_id)[0])
    if isinstance(end, RemoteModel):
        raise BadRequest(
            f"{end.ref} runs at {end.provider.name}, whose tokens can't be counted here. The usage of an answer has"
            " their number.",
            param="model",
        )
    await check_writes(services, end.version)
    requests = _requests(call, call_id, end.version, tenant, end.loadable.adapter)
    replica = end.loadable.version.ref
    with services.admission.admit(replica, requests[0].caller, len(requests)):
        counts = [await services.pool.count(replica, end.loadable.files, request) for request in requests]
    return sum(counts)


async def embed(services: Services, call: EmbedCall, tenant: str) -> Embeddings:
    """Turn the texts of `call` into vectors on the Version that its name leads to.

    Cancelled, it stops what still runs. What was computed is counted, however it ends.
    Raises the LLMOSError that says why there are no vectors.
    """
    way = await services.lookup.way(call.model)
    # Vectors of two models can't be compared: a route to such a model has it alone.
    with noted(services.evidence, way.route, way.main) as note:
        here = way.here()
        note.version = here.version.ref
        await check_embeds(services, here.version)
        return await _embed(services, call, here, tenant)


async def _embed(services: Services, call: EmbedCall, here: Here, tenant: str) -> Embeddings:
    version = here.version
    call_id = new_id(call.id_prefix)
    caller, priority = _turn(call.origin, tenant)
    chunks = list(call.chunks(call_id, caller, priority))
    embeddings = Embeddings(call_id, call, version, len(chunks))
    pending = iter(enumerate(chunks))

    async def go_on() -> None:
        for number, chunk in pending:
            embeddings.take(number, await services.pool.embed(version.ref, here.loadable.files, chunk))

    num_lanes = min(len(chunks), CHUNKS_AT_ONCE)
    with services.admission.admit(version.ref, caller, num_lanes, is_background=is_background()):
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
    return (f"\n{caller}", BACKGROUND_PRIORITY) if is_background() else (caller, origin.priority)


def _requests(
    call: Call, call_id: str, version: Answering, tenant: str, adapter: AdapterFiles | None = None
) -> list[Generate]:
    sampling = call.sampling.on(version)
    caller, priority = _turn(call.origin, tenant)
    return [
        Generate(
            id=f"{call_id}-{place}" if place else call_id,
            messages=prompt.messages,
            continue_final_message=prompt.continues,
            user_text=prompt.user_text,
            text=prompt.text,
            tokens=prompt.tokens,
            echo=call.echo,
            caller=caller,
            cache_salt=f"{tenant}\n{call.origin.cache_salt}",
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
