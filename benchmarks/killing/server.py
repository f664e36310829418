"""The server that is killed: the real gateway, ledger and receipts, behind a model that answers at once."""

import asyncio
import os
import random
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import httpx
import uvloop

import llmos.core.clock
from killing.calls import KINDS, SLOW_TOKENS
from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.engine.messages import Delta, Event, Generate, Started
from llmos.gateway.app import create_app
from llmos.gateway.server import Server
from llmos.gateway.services import Services
from support.scripted import KEY, FakePool
from support.scripted_gateway import Scripted, scripted_services

_RETRY_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    folder: Path
    url: str
    """The address of the database."""


class Pool(FakePool):
    """Answers at once; calls for SLOW_TOKENS get a token in each millisecond."""

    async def play(self, request: Generate) -> AsyncIterator[Event]:
        self.requests.clear()
        if request.sampling.max_tokens != SLOW_TOKENS:
            async for event in super().play(request):
                yield event
            return
        yield Started(request.id, self.num_prompt_tokens, [])
        for number in range(1, SLOW_TOKENS):
            await asyncio.sleep(0.001)
            yield Delta(id=request.id, index=0, text="x ", num_output_tokens=number)
        yield Delta(id=request.id, index=0, finish_reason="length", num_output_tokens=SLOW_TOKENS)


def warm_up() -> None:
    """Make what all servers share once, before they are forked: the endpoints, and what the first call imports."""
    with tempfile.TemporaryDirectory(prefix="llmos-chaos-") as name:
        database = Database(f"sqlite:///{name}/llmos.db")
        database.upgrade()
        with scripted_services(Scripted.over(Pool(), None), Path(name), database) as services:
            asyncio.run(_call_each(services))
        database.close()


async def _call_each(services: Services) -> None:
    transport, headers = httpx.ASGITransport(create_app(services)), {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as http:
        for name, kind in KINDS.items():
            reply = await http.post(kind.path, json=kind.body)
            assert reply.status_code == 200, (name, reply.text)
            assert kind.end in reply.text, (name, reply.text)


def serve(listener: socket.socket, home: Home, *, failing: float = 0.0, turns_clock: bool = False) -> None:
    """Serve until killed, or until SIGTERM ends it in order. `failing`: the share of the ledger's transactions that
    fail."""
    random.seed()
    if turns_clock:
        llmos.core.clock.datetime = _TurnedBack  # type: ignore[attr-defined]
    with scripted_services(Scripted.over(Pool(), None), home.folder, Database(home.url)) as services:
        services.billing.ledger.add = _failing(services.billing.ledger.add, failing)  # type: ignore[method-assign]
        services.billing.ledger_writer._retry_seconds = _RETRY_SECONDS
        sys.stderr = open(home.folder / "log", "a")  # noqa: SIM115
        server = Server(create_app(services), services)
        uvloop.run(_run(server, listener))


async def _run(server: Server, listener: socket.socket) -> None:
    import signal

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.drain)
    await server.serve(sockets=[listener])


def _failing(add: Callable[..., Any], share: float) -> Callable[..., Any]:
    def add_or_fail(entries: Any) -> Any:
        if random.random() < share:
            raise StoreFailed("The disk is full.")
        return add(entries)

    return add_or_fail


class _TurnedBack(datetime):
    """A clock that jumps back by some hours now and then, and forward again."""

    _hours = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        if random.random() < 0.02:
            cls._hours = random.choice([0, 1, 5, 30])
        return datetime.now(tz) - timedelta(hours=cls._hours)


def fork(serve_it: Callable[[], None]) -> int:
    """Run a function in a process of its own, and return its id."""
    process = os.fork()
    if process == 0:
        try:
            serve_it()
        finally:
            os._exit(0)
    return process
