"""More load than a model can take is refused in time, and every call is accounted for."""

import asyncio
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import Overloaded, PromptTooLong, ReplicaFailed
from llmos.gateway.app import create_app
from llmos.gateway.calls.admission import LONGEST_RETRY_SECONDS, Admission
from llmos.gateway.services import Services
from llmos.security.callers import Caller
from support.pipelines import with_parts
from support.scripted import Connection, FakePool

VERSION = "m@1"


def caller_named(name: str) -> Caller:
    return Caller(project=name, key_id=name)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    """Room for 2 that run and 8 that wait; a caller has 6."""
    return Admission(max_running=2, max_queued=8, clock=clock)


@pytest.fixture
def enter(admission: Admission) -> Any:
    """Return a function that lets calls in and returns what lets them out again."""
    with ExitStack() as everyone:

        def enter(caller: str, *sizes: int) -> ExitStack:
            inside = everyone.enter_context(ExitStack())
            for num_choices in sizes or (1,):
                inside.enter_context(admission.admit(VERSION, caller_named(caller), num_choices))
            return inside

        yield enter


def test_one_caller_leaves_half_of_the_queue_to_the_others(enter: Any) -> None:
    enter("ann", *[1] * 6)
    with pytest.raises(Overloaded, match="You have 6 choices open on m@1, which takes 6 of one caller"):
        enter("ann")
    enter("bob", *[1] * 4)


def test_a_full_queue_is_full_for_everybody(enter: Any) -> None:
    enter("ann", *[1] * 6)
    enter("bob", *[1] * 4)
    for caller in ("bob", "eve"):
        with pytest.raises(Overloaded, match="m@1 has all the requests that it can take: 8 choices wait"):
            enter(caller)


def test_room_is_there_again_when_a_call_has_left(enter: Any) -> None:
    leaving = enter("ann", 3)
    enter("ann", 3)
    leaving.close()
    enter("ann", 3)


def test_room_is_counted_in_choices(enter: Any) -> None:
    enter("ann", 5)
    with pytest.raises(Overloaded):
        enter("ann", 2)
    enter("ann", 1)


def test_a_call_larger_than_the_queue_runs_and_blocks_nobody(enter: Any) -> None:
    enter("ann", 1000)
    with pytest.raises(Overloaded):
        enter("ann")
    enter("bob", *[1] * 4)


def test_versions_have_room_of_their_own(admission: Admission, enter: Any) -> None:
    enter("ann", *[1] * 6)
    with admission.admit("other@1", caller_named("ann"), 6):
        assert admission.num_open == 12


def test_retry_after_estimates_the_time_of_the_queue(clock: Clock, enter: Any) -> None:
    leaving = [enter("bob") for _ in range(3)]
    enter("ann")
    clock.now += 10
    for each in leaving:  # the first departure begins the measure
        each.close()
        clock.now += 1.9
    enter("ann", 5)
    with pytest.raises(Overloaded, match=r"Try again in 8 seconds\.") as caught:
        enter("ann")
    assert caught.value.retry_after_seconds == 8  # 4 wait, and 3 left within 5.7 seconds: 7.6, rounded up


def test_a_burst_after_a_pause_is_not_measured_by_the_pause(clock: Clock, enter: Any) -> None:
    enter("bob").close()
    clock.now += 10_000
    leaving = enter("bob")
    enter("ann", 5)
    leaving.close()
    clock.now += 1
    enter("ann")
    with pytest.raises(Overloaded) as caught:
        enter("ann")
    assert caught.value.retry_after_seconds == 4  # 4 wait, and 1 left within the second


def test_retry_after_is_between_one_second_and_a_minute(clock: Clock, enter: Any) -> None:
    enter("ann", 6)
    with pytest.raises(Overloaded, match=r"Try again in 1 second\.") as unknown:
        enter("ann")
    enter("bob").close()
    with pytest.raises(Overloaded) as fast:
        enter("ann")
    clock.now += 100_000
    with pytest.raises(Overloaded) as slow:
        enter("ann")
    assert unknown.value.retry_after_seconds == fast.value.retry_after_seconds == 1
    assert slow.value.retry_after_seconds == LONGEST_RETRY_SECONDS


def test_background_calls_take_no_room_and_are_never_refused(admission: Admission, enter: Any) -> None:
    enter("ann", *[1] * 6)
    enter("bob", *[1] * 4)
    with admission.admit(VERSION, caller_named("ann").in_background(), 100):
        assert admission.num_open == 10


steps = st.tuples(st.sampled_from(["ann", "bob", "eve"]), st.integers(1, 12), st.booleans())


@given(st.lists(steps, max_size=60))
def test_the_queue_is_what_exceeds_the_running_choices_at_any_moment(course: list[tuple[str, int, bool]]) -> None:
    admission = Admission(max_running=2, max_queued=8)
    inside: list[tuple[str, int, ExitStack]] = []
    for caller, num_choices, does_enter in course:
        if does_enter:
            room = ExitStack()
            with suppress(Overloaded):
                room.enter_context(admission.admit(VERSION, caller_named(caller), num_choices))
                inside.append((caller, num_choices, room))
        elif inside:
            *_, room = inside.pop(0)
            room.close()
        assert admission.num_open == sum(num for _, num, _ in inside)
        assert admission.num_queued().get(VERSION, 0) == max(0, admission.num_open - 2)
        for name in {name for name, _, _ in inside}:
            own = [num for other, num, _ in inside if other == name]
            assert len(own) == 1 or sum(own) <= 6


CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def app(services: Services) -> FastAPI:
    """With room for one call that runs and two that wait."""
    return create_app(with_parts(services, admission=Admission(max_running=1, max_queued=2)))


@pytest.mark.anyio
async def test_overload_is_a_429_with_retry_after(app: FastAPI, http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.gate = asyncio.Event()  # nothing is answered before the test says so
    callers = [Connection(app, "/v1/chat/completions", CHAT) for _ in range(2)]
    calls = [caller.start() for caller in callers]
    while len(pool.requests) < 2:
        await pool.someone_came.wait()
        await asyncio.sleep(0)
    reply = await http.post("/v1/chat/completions", json=CHAT)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "overloaded")
    assert len(pool.requests) == 2, "it never reached the model"
    # Somebody else's user still gets in.
    other = Connection(app, "/v1/chat/completions", CHAT | {"user": "bob"})
    calls.append(other.start())
    pool.gate.set()
    await asyncio.gather(*calls)
    for caller in [*callers, other]:
        assert '"Hello"' in caller.text, "what was accepted is answered"


@pytest.mark.anyio
async def test_answered_failed_cancelled_and_running_calls_are_counted_apart(
    app: FastAPI, http: httpx.AsyncClient, pool: FakePool
) -> None:
    await http.post("/v1/chat/completions", json=CHAT)
    await http.post("/v1/chat/completions", json=CHAT | {"stream": True})
    pool.enqueue(PromptTooLong("too long"))
    await http.post("/v1/chat/completions", json=CHAT)
    pool.enqueue("Hel", ReplicaFailed("It died."))
    await http.post("/v1/chat/completions", json=CHAT | {"stream": True})
    pool.enqueue("Hel", pool.never)
    gone = Connection(app, "/v1/chat/completions", CHAT | {"stream": True})
    call = gone.start()
    await gone.first_chunk()
    gone.hang_up()
    await call
    pool.enqueue("Hel", pool.never)
    staying = Connection(app, "/v1/chat/completions", CHAT | {"stream": True})
    call = staying.start()
    await staying.first_chunk()
    rejected = await http.post("/v1/completions", json={"model": "dialogue", "prompt": ["x", "y"]})
    assert rejected.status_code == 429
    counted = (await http.get("/metrics")).text.splitlines()
    for line in [
        'llmos_calls_accepted_total{model_name="smollm2@1"} 6.0',
        'llmos_calls_ended_total{model_name="smollm2@1",outcome="answered"} 2.0',
        'llmos_calls_ended_total{model_name="smollm2@1",outcome="failed"} 2.0',
        'llmos_calls_ended_total{model_name="smollm2@1",outcome="cancelled"} 1.0',
        'llmos_calls_running{model_name="smollm2@1"} 1.0',
        'llmos_calls_rejected_total{model_name="smollm2@1"} 1.0',
        'llmos_queued_choices{model_name="smollm2@1"} 0.0',
    ]:
        assert line in counted
    staying.hang_up()
    await call
