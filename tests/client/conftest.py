"""A real HTTP server that answers by script, and both clients driven alike."""

import asyncio
import inspect
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmos.client import AsyncClient, Client, asynchronous, blocking

Reply = Callable[[BaseHTTPRequestHandler], None]

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
LAST_EVENT = {"id": "answer-1", "text": "", "finish_reason": "stop", "usage": USAGE, "version": "smollm2@1"}


class ScriptedServer:
    """Answers each request with the next reply of its script, and keeps what it was asked."""

    def __init__(self) -> None:
        self.usage = USAGE
        self.last_event = LAST_EVENT
        self.model = {"name": "smollm2", "version": "smollm2@1", "family": "llama", "context_length": 8192}
        self.generated = {**LAST_EVENT, "object": "answer", "text": "Hello there", "model": "dialogue"}
        self.received: list[SimpleNamespace] = []
        """Method, path, headers and body of each request."""
        self.hung_up = threading.Event()
        """Set when a client went away from an endless stream."""
        self._script: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # The client would wait for 40 ms.

            def _serve(self) -> None:
                is_json = self.headers.get("Content-Type") == "application/json"
                data = self.rfile.read(int(self.headers.get("content-length", 0)))
                scripted.received.append(
                    SimpleNamespace(
                        method=self.command,
                        path=self.path,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=json.loads(data) if data and is_json else data or None,
                    )
                )
                scripted._script.get_nowait()(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

            def log_message(self, *_: object) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def replies(self, *replies: Reply) -> None:
        for reply in replies:
            self._script.put(reply)

    # The replies there are.

    def json(self, body: Any, status: int = 200, **headers: str) -> Reply:
        def reply(handler: BaseHTTPRequestHandler) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(data)

        return reply

    def error(self, status: int, code: str, message: str = "No.", **headers: str) -> Reply:
        return self.json({"error": {"message": message, "type": "x", "code": code, "param": None}}, status, **headers)

    def drop(self, handler: BaseHTTPRequestHandler) -> None:
        """Close the connection without a word."""
        handler.close_connection = True

    def silence(self, handler: BaseHTTPRequestHandler) -> None:
        """Say nothing until the client hangs up."""
        handler.connection.recv(1)
        handler.close_connection = True

    def stream(self, *events: Any, then: str = "end") -> Reply:
        """Send events; then `end` the body as HTTP wants it, or `die` in the middle of it."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            _start_stream(handler)
            for each in events:
                _write_event(handler, each)
            if then == "end":
                handler.wfile.write(b"0\r\n\r\n")
            else:
                handler.close_connection = True

        return reply

    def pieces(self, *pieces: str) -> Reply:
        """A whole streamed answer."""
        return self.stream(*({"id": "answer-1", "text": piece} for piece in pieces), LAST_EVENT, "[DONE]")

    def endless(self, handler: BaseHTTPRequestHandler) -> None:
        """Write until the client hangs up."""
        handler.close_connection = True
        _start_stream(handler)
        try:
            while True:
                _write_event(handler, {"id": "answer-1", "text": "more " * 1000})
        except OSError:
            self.hung_up.set()


def _start_stream(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def _write_event(handler: BaseHTTPRequestHandler, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    data = f"data: {text}\n\n".encode()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()


@pytest.fixture
def server(one_certificate: None) -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


class Awaited:
    """An asynchronous object driven like a blocking one: what it returns is awaited, and iterated where it streams."""

    def __init__(self, runner: asyncio.Runner, wrapped: Any) -> None:
        self._runner, self._wrapped = runner, wrapped

    def __getattr__(self, name: str) -> Any:
        return self._blocking(getattr(self._wrapped, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._blocking(self._wrapped(*args, **kwargs))

    def __iter__(self) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(self._wrapped, self)

        while (item := self._runner.run(following())) is not self:
            yield item

    def __enter__(self) -> Any:
        return Awaited(self._runner, self._runner.run(self._wrapped.__aenter__()))

    def __exit__(self, *exc: object) -> None:
        self._runner.run(self._wrapped.__aexit__(*exc))

    def _blocking(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            return self._blocking(self._runner.run(value))
        if isinstance(value, list):
            return [self._blocking(each) for each in value]
        is_asynchronous = type(value).__module__.startswith("llmos.client.async")
        return (
            Awaited(self._runner, value) if is_asynchronous or inspect.isasyncgen(value) or callable(value) else value
        )


Connect = Callable[..., Any]


@pytest.fixture(params=["blocking", "asynchronous"])
def connect(
    request: pytest.FixtureRequest, server: ScriptedServer, no_own_settings: None, waits: list[float]
) -> Iterator[Connect]:
    """Make a client for the scripted server: in turn a Client, and an AsyncClient driven like one."""
    with ExitStack() as stack:
        if request.param == "blocking":
            yield lambda **options: stack.enter_context(Client(**{"endpoint": server.url, **options}))
        else:
            runner = stack.enter_context(asyncio.Runner())
            yield lambda **options: stack.enter_context(
                Awaited(runner, AsyncClient(**{"endpoint": server.url, **options}))
            )


@pytest.fixture
def model(connect: Connect, server: ScriptedServer) -> Any:
    server.replies(server.json(server.model))
    model = connect().models.get("dialogue")
    server.received.clear()
    return model


@pytest.fixture
def no_own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LLMOS_API_KEY", "LLMOS_OWNER_KEY", "LLMOS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clients have waited between tries; no time passes."""
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(blocking, "sleep", waited.append)
    monkeypatch.setattr(asynchronous, "sleep", note)
    return waited
