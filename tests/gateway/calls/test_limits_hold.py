"""Limits of keys and projects, on every way to a model."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.calls.limits_hold import LimitsHold, estimated_tokens
from llmos.gateway.calls.record import Recorder
from llmos.gateway.jobs import internal_requests
from llmos.gateway.services import Services
from llmos.security import limit_room
from llmos.security.authenticator import caller_of
from llmos.security.callers import Caller
from llmos.security.keys import NewKey
from llmos.security.limit_counts import GiveBack, LimitCounts, Take
from llmos.security.limits import Allowance, Limits
from support.looking import pause
from support.scripted import FakePool

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def limited(services: Services, http: httpx.AsyncClient) -> Callable[..., dict[str, str]]:
    """The headers of a new key with these limits."""

    def create(project: str = "owner", **limits: int) -> dict[str, str]:
        _, text = services.keys.create(NewKey(project=project, limits=Limits(**limits)))
        return {"authorization": f"Bearer {text}"}

    return create


def caller(**limits: int) -> Caller:
    allowance = Allowance(scope="key:key-1", limits=Limits(**limits))
    return Caller(project="owner", key_id="key-1", allowances=(allowance,))


def call_of(caller: Caller, **params: Any) -> Call:
    return Call(
        model="dialogue", caller=caller, prompts=[Prompt(text="Hello")], sampling=Sampling(SamplingParams(**params))
    )


async def test_of_200_requests_at_once_exactly_10_are_answered(
    http: httpx.AsyncClient, pool: FakePool, limited: Callable[..., dict[str, str]]
) -> None:
    headers = limited(requests_per_minute=10, concurrent_requests=10)
    pool.gate = asyncio.Event()  # No call ends before all have asked, so that nothing refills.
    asked = [asyncio.create_task(http.post("/v1/chat/completions", json=CHAT, headers=headers)) for _ in range(200)]
    while sum(task.done() for task in asked) < 190:
        await pause()
    pool.gate.set()
    replies = await asyncio.gather(*asked)
    assert sorted(reply.status_code for reply in replies) == [200] * 10 + [429] * 190
    assert len(pool.requests) == 10


async def test_a_refusal_names_the_limit_and_when_to_try_again(
    http: httpx.AsyncClient, pool: FakePool, limited: Callable[..., dict[str, str]]
) -> None:
    headers = limited(requests_per_minute=1)
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
    for path, body in [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"model": "dialogue", "prompt": "Hello"}),
        ("/v1/responses", {"model": "dialogue", "input": "Hello"}),
        ("/v1/embeddings", {"model": "dialogue", "input": "Hello"}),
        ("/v1/tokenize", {"model": "dialogue", "prompt": "Hello"}),
        ("/v1/messages", {**CHAT, "max_tokens": 5}),
        ("/v1/messages/count_tokens", CHAT),
        ("/api/chat", CHAT),
        ("/api/generate", {"model": "dialogue", "prompt": "Hello"}),
        ("/v2/models/dialogue/generate", {"text_input": "Hello"}),
        ("/v2/models/dialogue/generate_stream", {"text_input": "Hello"}),
        ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hello"}),
        ("/llmos/v1/likelihood", {"model": "dialogue", "prompt": "Hello", "continuations": ["!"]}),
        ("/v1/chat/completions", {**CHAT, "stream": True}),
    ]:
        reply = await http.post(path, json=body, headers=headers)
        assert reply.status_code == 429, path
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert "may make 1 request a minute. Try again in" in reply.text
    assert len(pool.requests) == 1


async def test_all_keys_of_a_project_share_its_limits(
    http: httpx.AsyncClient, services: Services, limited: Callable[..., dict[str, str]]
) -> None:
    services.projects.create("acme", limits=Limits(requests_per_minute=3))
    one, other = limited("acme"), limited("acme", requests_per_minute=1)
    statuses = [
        (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code
        for headers in (other, other, one, one, one)
    ]
    assert statuses == [200, 429, 200, 200, 429]
    replaced = await http.put("/llmos/v1/projects/acme/limits", json={"requests_per_minute": 100})
    assert replaced.json()["limits"]["requests_per_minute"] == 100
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=one)).status_code == 200


async def test_limits_change_at_once(http: httpx.AsyncClient, services: Services) -> None:
    key, text = services.keys.create(NewKey())
    headers = {"authorization": f"Bearer {text}"}
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
    limited = await http.put(f"/llmos/v1/keys/{key.id}/limits", json={"output_tokens": 5, "prompt_tokens": 1})
    assert limited.json()["limits"] == {
        "requests_per_minute": None, "tokens_per_minute": None, "concurrent_requests": None, "prompt_tokens": 1,
        "output_tokens": 5,
    }  # fmt: skip
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 400
    assert (await http.put(f"/llmos/v1/keys/{key.id}/limits", json={})).json()["limits"]["output_tokens"] is None
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
    for wrong in ({"requests_per_minute": 0}, {"requests": 1}, {"tokens_per_minute": 10**12}):
        assert (await http.put(f"/llmos/v1/keys/{key.id}/limits", json=wrong)).status_code == 400


async def test_a_call_that_ends_or_whose_caller_goes_away_makes_room(
    http: httpx.AsyncClient, pool: FakePool, limited: Callable[..., dict[str, str]]
) -> None:
    headers = limited(concurrent_requests=1)
    for _ in range(3):
        assert (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
    pool.gate = asyncio.Event()
    running = asyncio.create_task(http.post("/v1/chat/completions", json=CHAT, headers=headers))
    while len(pool.requests) < 4:
        await pause()
    refused = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "may have 1 request running at the same time" in refused.json()["error"]["message"]
    running.cancel()
    await asyncio.wait([running])
    pool.gate.set()
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200


async def test_tokens_are_counted_as_they_were_used(
    http: httpx.AsyncClient, pool: FakePool, services: Services, limited: Callable[..., dict[str, str]]
) -> None:
    headers = limited(tokens_per_minute=100)
    used = 0
    while (reply := await http.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200:
        usage = reply.json()["usage"]
        used += usage["prompt_tokens"] + usage["completion_tokens"]
        await services.limits.finish()
    assert reply.status_code == 429
    assert "may use 100 tokens a minute" in reply.json()["error"]["message"]
    assert 50 < used < 150


async def test_answers_are_cut_at_the_longest_that_is_allowed(
    http: httpx.AsyncClient, pool: FakePool, limited: Callable[..., dict[str, str]]
) -> None:
    headers = limited(output_tokens=5)
    for body, expected in [({}, 5), ({"max_tokens": 3}, 3), ({"max_tokens": 5}, 5), ({"max_tokens": 4000}, 5)]:
        assert (await http.post("/v1/chat/completions", json=CHAT | body, headers=headers)).status_code == 200
        assert pool.requests[-1].sampling.max_tokens == expected
        assert pool.requests[-1].sampling.may_exceed_context


async def test_longer_prompts_than_allowed_are_refused_and_not_computed(
    http: httpx.AsyncClient, pool: FakePool, limited: Callable[..., dict[str, str]]
) -> None:
    headers = limited(prompt_tokens=2)
    reply = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "may send 2. Shorten it by" in reply.json()["error"]["message"]
    assert len(pool.closed_early) == 1


async def test_a_batch_waits_for_the_limits_of_its_key(
    app: FastAPI, services: Services, http: httpx.AsyncClient
) -> None:
    key, _ = services.keys.create(NewKey(limits=Limits(requests_per_minute=1)))
    body, line = msgspec.json.encode(CHAT), caller_of(key).in_background()
    replies = [await internal_requests.post(app, "/v1/chat/completions", body, line) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    assert "retry-after" in replies[1].headers


async def test_a_caller_who_goes_away_while_it_is_counted_keeps_nothing(database: Database) -> None:
    hold = LimitsHold(LimitCounts(database))
    call = call_of(caller(concurrent_requests=1))

    async def ask() -> None:
        with Recorder().open(call, "generate") as record:
            async with hold(call, record):
                await asyncio.Event().wait()

    for num_turns in range(6):
        asked = asyncio.create_task(ask())
        for _ in range(num_turns):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
    await hold.finish()
    with Recorder().open(call, "generate") as record:
        async with hold(call, record):
            pass
    await hold.finish()


async def test_calls_are_refused_while_the_use_can_not_be_counted_and_what_ended_is_counted_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = LimitCounts(database)
    hold, call = LimitsHold(counts), call_of(caller(concurrent_requests=1))

    def fail(steps: Any) -> Any:
        raise StoreFailed("The disk is full.")

    with Recorder().open(call, "generate") as record:
        async with hold(call, record):
            monkeypatch.setattr(counts, "apply", fail)
    with pytest.raises(StoreFailed), Recorder().open(call, "generate") as record:
        async with hold(call, record):
            raise AssertionError
    monkeypatch.undo()
    with Recorder().open(call, "generate") as record:
        async with hold(call, record):
            pass
    await hold.finish()


async def test_the_end_of_a_call_is_counted_with_the_next_one_that_begins(database: Database) -> None:
    counts = LimitCounts(database)
    hold, call, groups = LimitsHold(counts), call_of(caller(concurrent_requests=1)), []
    apply = counts.apply

    def recorded(steps: Any) -> Any:
        groups.append([type(step) for step in steps])
        return apply(steps)

    counts.apply = recorded  # type: ignore[method-assign]
    for _ in range(2):
        with Recorder().open(call, "generate") as record:
            async with hold(call, record):
                pass
    await hold.finish()
    assert groups == [[Take], [GiveBack, Take], [GiveBack]]


async def test_the_end_of_the_last_call_is_counted_soon(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = LimitCounts(database)
    hold, call = LimitsHold(counts), call_of(caller(concurrent_requests=1))
    with Recorder().open(call, "generate") as record:
        async with hold(call, record):
            pass
    ended, loop, apply = asyncio.Event(), asyncio.get_running_loop(), counts.apply

    def recorded(steps: Any) -> Any:
        loop.call_soon_threadsafe(ended.set)
        return apply(steps)

    monkeypatch.setattr(counts, "apply", recorded)
    await ended.wait()
    await hold.finish()


async def test_a_call_far_from_its_limits_begins_before_it_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_room, "MAX_AGE", 60 * 10**9)
    counts = LimitCounts(database)
    hold, recorder, many = LimitsHold(counts), Recorder(), caller(requests_per_minute=60, concurrent_requests=600)

    async def run() -> None:
        with recorder.open(call_of(many), "generate") as record:
            async with hold(call_of(many), record):
                pass

    await run()
    await hold.finish()
    worker = hold._worker
    await run()
    assert hold._worker is worker  # It has counted nothing meanwhile.
    await hold.finish()
    (count,) = counts.last_counts
    assert count.num_running == 0
    assert 1 <= (count.requests_full_at - count.at) / 1e9 <= 2  # Two calls, if no second has passed.


async def test_a_caller_without_limits_asks_no_database() -> None:
    hold = LimitsHold(None)  # type: ignore[arg-type]
    call = call_of(Caller(project="owner", key_id="owner"))
    with Recorder().open(call, "generate") as record:
        async with hold(call, record) as same:
            assert same is call
    await hold.finish()


def test_estimates_count_prompts_and_the_answers_that_may_come() -> None:
    call = call_of(caller(), max_tokens=10, n=3)
    assert 30 < estimated_tokens(call) < 50
    tokens = Call(model="m", caller=caller(), prompts=[Prompt(tokens=[1] * 7)], sampling=Sampling(SamplingParams()))
    assert estimated_tokens(tokens) == 7
