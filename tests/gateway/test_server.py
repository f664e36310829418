"""Addresses, ports and the shutdown of the server."""

import asyncio
import contextlib
import socket

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.errors import BadRequest, Conflict
from llmos.gateway.listening import listen
from llmos.gateway.server import Server
from llmos.gateway.services import Services
from support.looking import pause
from support.scripted import KEY, FakePool


def test_port_0_chooses_a_free_port() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_port_in_use_is_rejected_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict, match=f"127.0.0.1:{port}.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port", "option"), [("no host", 8000, "--host"), ("127.0.0.1", 70_000, "--port")])
def test_an_invalid_address_is_rejected(host: str, port: int, option: str) -> None:
    with pytest.raises(BadRequest, match=option):
        listen(host, port)


def test_an_address_of_another_machine_is_rejected() -> None:
    with pytest.raises(Conflict, match=r"192\.0\.2\.1.*--host 127\.0\.0\.1"):
        listen("192.0.2.1", 0)


def test_two_servers_that_start_at_once_do_not_share_a_port() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(Conflict, match="--port"):
        listen("127.0.0.1", first.getsockname()[1])


def test_a_draining_server_accepts_no_connection(app: FastAPI, services: Services) -> None:
    server = Server(app, services)
    server.drain()
    assert server.should_exit
    assert services.readiness.is_draining


def test_a_server_that_is_stopped_before_it_starts_ends_at_once(app: FastAPI, services: Services) -> None:
    server = Server(app, services)
    server.stop()
    asyncio.run(server.serve(sockets=[listen("127.0.0.1", 0)]))
    assert not server.servers[0].is_serving()


def test_a_task_whose_wait_times_out_while_the_server_stops_is_cancelled(
    app: FastAPI, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout cancels its task for a moment, which must not be taken for the server's own cancellation."""
    server = Server(app, services)

    async def wait_and_continue() -> None:
        while not server.started:
            await pause()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as timeout:
                server.stop()
                timeout.reschedule(0)  # Both take effect in the next turn of the loop, first the server's.
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(services.reconciler, "run", wait_and_continue)
    asyncio.run(asyncio.wait_for(server.serve(sockets=[listen("127.0.0.1", 0)]), 30))


def test_a_stopped_server_sends_the_answer_that_has_begun(app: FastAPI, services: Services, pool: FakePool) -> None:
    async def stop_during_an_answer() -> tuple[httpx.Response, Server]:
        goes_on = asyncio.Event()
        pool.enqueue("Hel", goes_on, "lo")
        server, listener = Server(app, services), listen("127.0.0.1", 0)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        body = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
            asking = asyncio.create_task(client.post(url, json=body))
            await pool.someone_came.wait()
            server.stop()
            await asyncio.sleep(0)
            goes_on.set()
            reply = await asking
        await serving
        return reply, server

    reply, server = asyncio.run(stop_during_an_answer())
    assert reply.json()["choices"][0]["message"]["content"] == "Hello"
    assert not server.server_state.connections
