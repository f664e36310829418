"""A caller that hangs up stops its call, at any moment."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI

from llmos.gateway.services import Services
from support.scripted import Connection, FakePool

pytestmark = pytest.mark.anyio

ROUTES = [
    ("/v1/chat/completions", {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}),
    ("/v1/completions", {"model": "dialogue", "prompt": "Once"}),
    ("/v1/completions", {"model": "dialogue", "prompt": ["Once", "Twice"]}),
    ("/v1/responses", {"model": "dialogue", "input": "Hello"}),
    ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Once"}),
    ("/api/chat", {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}], "stream": False}),
    ("/api/generate", {"model": "dialogue", "prompt": "Once", "stream": False}),
    ("/v1/messages", {"model": "dialogue", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}),
]


def script(pool: FakePool, *steps: Any) -> None:
    for _ in range(2):
        pool.enqueue(*steps)


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_hanging_up_during_a_stream_stops_the_call(
    app: FastAPI, pool: FakePool, services: Services, path: str, body: dict[str, Any]
) -> None:
    script(pool, "Hel", asyncio.Event())  # ... and never anything more
    caller = Connection(app, path, body | {"stream": True})
    call = caller.start()
    await caller.first_chunk()
    assert pool.closed_early == []
    caller.hang_up()
    await call
    assert sorted(pool.closed_early) == sorted(request.id for request in pool.requests)
    assert "[DONE]" not in caller.text
    assert "response.completed" not in caller.text
    assert "message_stop" not in caller.text
    counted = f'generation_tokens_total{{model_name="smollm2@1"}} {len(pool.requests)}.0'
    assert counted in services.metrics.render().decode()


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_hanging_up_before_a_complete_answer_stops_the_call(
    app: FastAPI, pool: FakePool, services: Services, path: str, body: dict[str, Any]
) -> None:
    reached, never = asyncio.Event(), asyncio.Event()
    script(pool, Signal(reached), "Hel", never)
    caller = Connection(app, path, body)
    call = caller.start()
    await reached.wait()
    caller.hang_up()
    await call
    assert sorted(pool.closed_early) == sorted(request.id for request in pool.requests)
    assert caller.sent == []
    assert (
        f'llmos_http_requests_total{{method="POST",route="{path}",status="499"}} 1.0'
        in services.metrics.render().decode()
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_hanging_up_before_the_prompt_is_accepted_stops_the_call(
    app: FastAPI, pool: FakePool, stream: bool
) -> None:
    pool.gate = asyncio.Event()  # the model is still loading, say
    caller = Connection(app, *ROUTES[0][:1], ROUTES[0][1] | {"stream": stream})
    call = caller.start()
    await pool.someone_came.wait()
    caller.hang_up()
    await call
    assert len(pool.closed_early) == 1
    assert caller.sent == []


async def test_hanging_up_during_the_request_runs_nothing(app: FastAPI, pool: FakePool, services: Services) -> None:
    caller = Connection(app, ROUTES[0][0], None)
    caller.hang_up()
    await caller.start()
    assert pool.requests == []
    assert caller.sent == []
    assert 'status="499"} 1.0' in services.metrics.render().decode()


async def test_a_caller_that_stays_connected_gets_the_whole_answer(app: FastAPI, pool: FakePool) -> None:
    caller = Connection(app, *ROUTES[0])
    await caller.start()
    assert '"Hello"' in caller.text
    assert pool.closed_early == []


async def test_a_call_that_the_server_cancels_ends(app: FastAPI, pool: FakePool) -> None:
    script(pool, "Hel", asyncio.Event())
    caller = Connection(app, ROUTES[0][0], ROUTES[0][1] | {"stream": True})
    call = caller.start()
    await caller.first_chunk()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(pool.closed_early) == 1


class Signal(asyncio.Event):
    """Waited for without waiting: it says that the script has come this far."""

    def __init__(self, reached: asyncio.Event) -> None:
        super().__init__()
        self._reached = reached

    async def wait(self) -> bool:  # type: ignore[override]
        self._reached.set()
        return True
