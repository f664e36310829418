"""Requests load and unload models, and keep them loaded."""

import asyncio
from typing import Any

import httpx
import ollama
import pytest
from fastapi import FastAPI

from support.scripted import Connection, FakePool

pytestmark = pytest.mark.shared_gateway

HELLO: Any = [{"role": "user", "content": "Hello"}]


def test_a_request_without_a_prompt_loads_or_unloads_the_model(client: ollama.Client, pool: FakePool) -> None:
    loaded = client.chat("dialogue", [])
    assert (loaded.done, loaded.done_reason, loaded.message.content) == (True, "load", "")
    assert [replica.state for replica in pool.replicas] == ["ready"]
    stopped = client.generate("dialogue", keep_alive=0)
    assert (stopped.done_reason, stopped.response) == ("unload", "")
    assert [replica.state for replica in pool.replicas] == ["stopped"]
    assert pool.requests == []


@pytest.mark.parametrize(("keep_alive", "state"), [(0, "stopped"), ("0s", "stopped"), ("5m", "ready"), (-1, "ready")])
@pytest.mark.anyio
async def test_keep_alive_0_unloads_the_model_after_the_answer(
    app: FastAPI, pool: FakePool, keep_alive: Any, state: str
) -> None:
    for stream in (True, False):
        pool.replicas.clear()
        body = {"model": "dialogue", "messages": HELLO, "keep_alive": keep_alive, "stream": stream}
        await Connection(app, "/api/chat", body).start()
        assert [replica.state for replica in pool.replicas] == [state]


@pytest.mark.anyio
async def test_a_model_that_other_calls_wait_for_stays_loaded(app: FastAPI, pool: FakePool) -> None:
    goes_on = asyncio.Event()
    pool.enqueue("Hel", goes_on, "lo")
    other = Connection(app, "/api/chat", {"model": "dialogue", "messages": HELLO})
    call = other.start()
    await other.first_chunk()
    await Connection(app, "/api/chat", {"model": "dialogue", "messages": HELLO, "keep_alive": 0}).start()
    assert [replica.state for replica in pool.replicas] == ["ready"]
    goes_on.set()
    await call
    assert '"done_reason":"stop"' in other.text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"think": "a lot"}, "think"),
        ({"format": "xml"}, "format"),
        ({"options": {"stop": [""]}}, "options.stop"),
        ({"options": {"temperature": 9}}, "options.temperature"),
        ({"options": {"num_predict": 0}}, "options.num_predict"),
    ],
)
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.anyio
async def test_wrong_fields_are_rejected_where_a_model_is_only_loaded(
    http: httpx.AsyncClient, pool: FakePool, path: str, fields: dict[str, Any], named: str
) -> None:
    reply = await http.post(path, json={"model": "dialogue", **fields})
    assert reply.status_code == 400
    assert named in reply.json()["error"]
    assert pool.replicas == []
