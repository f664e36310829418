"""The response cache: the same answer to the same request of a project, in every wire format, and never to others."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.database import Database
from llmos.data.responses import KeptResponse
from llmos.engine.messages import Delta, Started, ToolCallDelta
from llmos.gateway.app import create_app
from llmos.gateway.calls.cache_control import DEFAULT_CONTROL, CacheControl, parse_cache_control
from llmos.gateway.calls.erasure_watch import ErasureWatch
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import Stages
from llmos.gateway.erasing import Erasing
from llmos.gateway.services import Services
from llmos.security.keys import NewKey
from llmos.security.partitions import Partitions
from llmos.security.signing_key import SigningKey
from support.pipelines import with_parts
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "dialogue", "messages": MESSAGES, "temperature": 0}
INPUTS = [{"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["Hello"]}]
WIRES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"model": "dialogue", "prompt": "Hello", "temperature": 0}),
    ("/v1/responses", {"model": "dialogue", "input": "Hello", "temperature": 0}),
    ("/v1/messages", {"model": "dialogue", "messages": MESSAGES, "max_tokens": 9, "temperature": 0}),
    ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hello", "temperature": 0}),
    ("/api/chat", {"model": "dialogue", "messages": MESSAGES, "options": {"temperature": 0}, "stream": False}),
    ("/api/generate", {"model": "dialogue", "prompt": "Hello", "options": {"temperature": 0}, "stream": False}),
    ("/v2/models/dialogue/generate", {"text_input": "Hello", "parameters": {"temperature": 0}}),
    ("/v2/models/dialogue/infer", {"inputs": INPUTS, "parameters": {"temperature": 0}}),
]
CHANGING = {"id", "created", "created_at", "completed_at", "usage", "item_id", "total_duration", "load_duration"}
CHANGING |= {
    "num_cached_tokens",
    "prompt_eval_duration",
    "eval_duration",
    "sequence_number",
    "context",
    "timings",
    "seconds",
}
"""Fields that name an answer or say what it took."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> ResponseCache:
    return ResponseCache(1 << 20, clock=clock)


@pytest.fixture
def cached(services: Services, cache: ResponseCache, database: Database) -> Services:
    """A server whose route `dialogue` has a response cache, and whose route `plain` has none."""
    routes: Any = services.routes
    routes.routes["dialogue"] = replace(routes.routes["dialogue"], cache=True)
    routes.routes["plain"] = replace(routes.routes["dialogue"], name="plain", cache=False)
    partitions = Partitions()
    watch = ErasureWatch(database, cache, partitions)
    return with_parts(services, cache=cache, partitions=partitions, stages=Stages(checks=(watch,)))


@pytest.fixture
async def client(cached: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(cached), KEY) as client:
        yield client


def client_of(app: FastAPI, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://llmos", headers={"x-api-key": key})


def said(value: Any) -> Any:
    """Return an answer without what changes from one to the next."""
    if isinstance(value, dict):
        return {name: said(each) for name, each in value.items() if name not in CHANGING}
    return [said(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("path", "body"), WIRES)
async def test_every_format_gives_the_same_answer_again(
    client: httpx.AsyncClient, pool: FakePool, path: str, body: dict[str, Any]
) -> None:
    pool.enqueue("Once", " and", " only")
    first = await client.post(path, json=body)
    again = await client.post(path, json=body)
    assert first.status_code == 200, first.text
    assert (first.headers["llmos-cache"], again.headers["llmos-cache"]) == ("miss", "hit")
    assert again.headers["age"] == "0"
    assert said(again.json()) == said(first.json())
    assert len(pool.requests) == 1


@pytest.mark.parametrize(("path", "body"), WIRES[:7])
async def test_an_answer_is_streamed_out_of_the_cache_as_it_was_computed(
    client: httpx.AsyncClient, pool: FakePool, path: str, body: dict[str, Any]
) -> None:
    pool.enqueue("Once", " and", " only")
    first = await client.post(path, json=body | {"stream": True})
    again = await client.post(path, json=body | {"stream": True})
    whole = await client.post(path, json=body | {"stream": False})
    assert [each.headers["llmos-cache"] for each in (first, again, whole)] == ["miss", "hit", "hit"]
    assert first.text.count("\n") == again.text.count("\n") > 3
    assert "Once and only" in whole.text
    assert len(pool.requests) == 1


async def test_usage_names_the_prompt_as_cached(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    usage = (await client.post("/v1/chat/completions", json=CHAT)).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (5, 3)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5
    body = WIRES[3][1]
    await client.post("/v1/messages", json=body)
    usage = (await client.post("/v1/messages", json=body)).json()["usage"]
    assert usage["cache_read_input_tokens"] == 5


async def test_tool_calls_and_choices_come_again(client: httpx.AsyncClient, pool: FakePool) -> None:
    call = ToolCallDelta(index=0, id="call_1", name="add", arguments='{"a": 1}')
    pool.enqueue(
        Delta(id="any", index=1, text="one", num_output_tokens=1, finish_reason="stop"),
        Delta(id="any", index=0, tool_calls=[call], num_output_tokens=4, finish_reason="tool_calls"),
    )
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    body = CHAT | {"n": 2, "tools": [tool], "seed": 7, "temperature": 1}
    first, again = [(await client.post("/v1/chat/completions", json=body)).json() for _ in range(2)]
    assert said(again) == said(first)
    assert again["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "add"
    assert len(pool.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "Hello!"}]},
        {"max_tokens": 7},
        {"seed": 1},
        {"stop": ["x"]},
        {"cache_salt": "team"},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ],
)
async def test_another_request_is_computed(client: httpx.AsyncClient, pool: FakePool, change: dict[str, Any]) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    reply = await client.post("/v1/chat/completions", json=CHAT | change)
    assert reply.headers["llmos-cache"] == "miss", reply.text
    assert len(pool.requests) == 2


@pytest.mark.parametrize("change", [{"user": "ann"}, {"priority": 5}, {"stream": True}])
async def test_what_never_changes_an_answer_does_not_count(client: httpx.AsyncClient, change: dict[str, Any]) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    assert (await client.post("/v1/chat/completions", json=CHAT | change)).headers["llmos-cache"] == "hit"


@pytest.mark.parametrize(
    "change", [{"temperature": 0.5}, {"model": "plain"}, {"model": "smollm2@1"}, {"prompt_logprobs": 0}]
)
async def test_other_calls_do_not_ask_the_cache(
    client: httpx.AsyncClient, pool: FakePool, change: dict[str, Any]
) -> None:
    for _ in range(2):
        reply = await client.post("/v1/chat/completions", json=CHAT | change)
        assert reply.status_code == 200
        assert "llmos-cache" not in reply.headers
    assert len(pool.requests) == 2


async def test_another_project_never_gets_the_answer(
    client: httpx.AsyncClient, cached: Services, pool: FakePool
) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    cached.projects.create("acme")
    _, key = cached.keys.create(NewKey(project="acme"))
    async with client_of(create_app(cached), key) as acme:
        assert (await acme.post("/v1/chat/completions", json=CHAT)).headers["llmos-cache"] == "miss"
        assert (await acme.post("/v1/chat/completions", json=CHAT)).headers["llmos-cache"] == "hit"
    assert len(pool.requests) == 2


@pytest.mark.parametrize(
    ("asked", "outcomes"),
    [
        ("no-store", ["miss", "miss", "miss"]),
        ("no-cache", ["miss", "miss", "hit"]),
        ("max-age=5", ["miss", "hit", "hit"]),
        ("private, MAX-AGE = 5", ["miss", "hit", "hit"]),
    ],
)
async def test_cache_control_is_honoured(client: httpx.AsyncClient, asked: str, outcomes: list[str]) -> None:
    headers = [{"cache-control": asked}, {"cache-control": asked}, {}]
    replies = [await client.post("/v1/chat/completions", json=CHAT, headers=each) for each in headers]
    assert [reply.headers["llmos-cache"] for reply in replies] == outcomes


async def test_an_answer_that_is_too_old_is_computed_anew(client: httpx.AsyncClient, clock: Clock) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    clock.now = 6.5
    hit = await client.post("/v1/chat/completions", json=CHAT)
    assert (hit.headers["llmos-cache"], hit.headers["age"]) == ("hit", "6")
    headers = {"cache-control": "max-age=6"}
    assert (await client.post("/v1/chat/completions", json=CHAT, headers=headers)).headers["llmos-cache"] == "miss"
    assert (await client.post("/v1/chat/completions", json=CHAT)).headers["age"] == "0"


async def test_a_failed_answer_is_not_kept(client: httpx.AsyncClient, pool: FakePool, cache: ResponseCache) -> None:
    pool.enqueue("Once", None)
    assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 502
    assert len(cache) == 0
    assert (await client.post("/v1/chat/completions", json=CHAT)).headers["llmos-cache"] == "miss"


async def test_an_erasure_empties_the_cache_of_its_project(
    client: httpx.AsyncClient, cached: Services, pool: FakePool, tmp_path: Any
) -> None:
    await client.post("/v1/chat/completions", json=CHAT)
    before = pool.requests[-1].cache_salt
    cached.data.responses.keep("owner", KeptResponse(id="resp_1", body="{}", items="[]", users=["ann"]))
    assert (await client.post("/v1/chat/completions", json=CHAT)).headers["llmos-cache"] == "hit"
    data, signing_key = cached.data, SigningKey(tmp_path / "keys" / "signing")
    Erasing(data.files, data.datasets, data.knowledge, signing_key).forget("ann")
    assert (await client.post("/v1/chat/completions", json=CHAT)).headers["llmos-cache"] == "miss"
    assert pool.requests[-1].cache_salt != before, "nor is the prefix cache found again"


async def test_hits_are_counted_apart(client: httpx.AsyncClient, cached: Services) -> None:
    for _ in range(3):
        await client.post("/v1/chat/completions", json=CHAT)
    metrics = cached.metrics.render().decode()
    assert 'llmos_response_cache_requests_total{model_name="smollm2@1",outcome="hit"} 2.0' in metrics
    assert 'llmos_generation_tokens_total{model_name="smollm2@1"} 3.0' in metrics, "nothing else was computed"


async def kept(cache: ResponseCache, key: str, text: str, project: str = "acme") -> None:
    async def computed() -> AsyncIterator[tuple[int, Any]]:
        yield 0, Delta(id="a", text=text, finish_reason="stop", num_output_tokens=1, num_cached_tokens=3)

    async for _ in cache.recording(key, project, [Started("a", 5)], computed(), num_choices=1):
        pass


async def test_the_cache_stays_within_its_bytes_and_forgets_the_least_recently_used() -> None:
    cache = ResponseCache(10_000)
    for index in range(30):
        await kept(cache, f"{index}", "x" * 500)
        assert cache.get("0", DEFAULT_CONTROL) is not None, "what is used stays"
        assert cache.num_bytes <= 10_000
    assert 5 < len(cache) < 30
    assert cache.get("1", DEFAULT_CONTROL) is None
    await kept(cache, "large", "x" * 2000)
    assert cache.get("large", DEFAULT_CONTROL) is None, "one answer takes an eighth at most"
    cache.purge("acme")
    assert (len(cache), cache.num_bytes) == (0, 0)


async def test_what_is_being_recorded_during_an_erasure_is_not_kept() -> None:
    cache = ResponseCache(10_000)

    async def computed() -> AsyncIterator[tuple[int, Any]]:
        cache.purge("acme")
        yield 0, Delta(id="a", text="x", finish_reason="stop")

    async for _ in cache.recording("key", "acme", [Started("a", 5)], computed(), num_choices=1):
        pass
    assert len(cache) == 0


@given(st.text(max_size=40))
def test_any_cache_control_is_understood_or_ignored(text: str) -> None:
    assert isinstance(parse_cache_control({"cache-control": text}), CacheControl)
