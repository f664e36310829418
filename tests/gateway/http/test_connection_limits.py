"""Limits of what a server spends on a client: connections, bytes of headers, and patience with slow ones."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmos.gateway.http import protocol
from llmos.gateway.http.connection_limits import ConnectionLimits
from llmos.gateway.http.slow_clients import SlowClientTimer
from llmos.gateway.http_server import HttpServer
from llmos.gateway.listening import listen
from support.http_peer import GET, Peer, echo, post
from support.manual_timers import ManualTimers

LIMITS = ConnectionLimits()

Serve = Callable[..., int]


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> ManualTimers:
    timers = ManualTimers()

    def make(_: asyncio.AbstractEventLoop, *arguments: Any, **options: Any) -> SlowClientTimer:
        return SlowClientTimer(timers, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(protocol, "SlowClientTimer", make)
    return timers


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with these limits; gives its port."""
    with contextlib.ExitStack() as stack:

        def serve(limits: ConnectionLimits = LIMITS, app: Any = echo) -> int:
            listener = listen("127.0.0.1", 0)
            server = HttpServer(app, limits=limits)
            thread = threading.Thread(target=asyncio.run, args=[server.serve(sockets=[listener])])
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            port: int = listener.getsockname()[1]
            return port

        yield serve


@contextlib.contextmanager
def peer_of(port: int) -> Iterator[Peer]:
    with contextlib.closing(Peer(port)) as peer:
        yield peer


def test_headers_that_do_not_end_are_answered_with_408(serve: Serve, timers: ManualTimers) -> None:
    with peer_of(serve()) as peer:
        peer.send(b"GET /a HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        timers.run_out(LIMITS.head_seconds)
        answer = peer.answer()
        assert (answer.status, answer.heard["error"]["code"]) == (408, "request_timeout")
        assert answer.headers["connection"] == "close"
        assert peer.rest() == b""


def test_headers_of_a_second_request_that_do_not_end_are_answered_with_408(serve: Serve, timers: ManualTimers) -> None:
    with peer_of(serve()) as peer:
        peer.send(GET % b"one")
        assert peer.answer().status == 200
        peer.send(b"GET /two HTTP/1.1\r\n")
        timers.run_out(LIMITS.head_seconds)
        assert peer.answer().status == 408


def test_a_connection_that_says_nothing_is_closed_without_an_answer(serve: Serve, timers: ManualTimers) -> None:
    with peer_of(serve()) as peer:
        timers.run_out(LIMITS.head_seconds)
        assert peer.rest() == b""


def test_a_connection_that_has_been_answered_may_stay_silent(serve: Serve, timers: ManualTimers) -> None:
    with peer_of(serve()) as peer:
        peer.send(GET % b"one")
        assert peer.answer().status == 200
        assert timers.running == []
        peer.send(GET % b"two")
        assert peer.answer().heard["path"] == "/two"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_does_not_come_is_answered_with_408(serve: Serve, timers: ManualTimers, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked\r\n\r\n4\r\nte" if chunked else b"Content-Length: 9\r\n\r\nte"
    with peer_of(serve()) as peer:
        peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\n" + framing)
        timers.run_out(LIMITS.body_seconds)
        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert "body" in answer.heard["error"]["message"]


def test_a_body_that_comes_fast_enough_is_read_for_as_long_as_it_takes(serve: Serve, timers: ManualTimers) -> None:
    with peer_of(serve()) as peer:
        peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(5):
            peer.send(bytes(LIMITS.min_body_bytes))
            timers.run_out(LIMITS.body_seconds)
        peer.send(bytes(1_000_000 - 5 * LIMITS.min_body_bytes))
        assert len(peer.answer().heard["body"]) == 1_000_000


def test_the_rest_of_a_body_that_was_answered_early_does_not_hold_the_connection(
    serve: Serve, timers: ManualTimers
) -> None:
    with peer_of(serve()) as peer:
        peer.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nte")
        assert peer.answer().status == 200
        peer.send(b"x")
        timers.run_out(LIMITS.body_seconds)
        assert peer.rest() == b""


def test_time_in_which_the_server_did_not_ask_for_the_body_does_not_count(serve: Serve, timers: ManualTimers) -> None:
    went_on = threading.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(went_on.wait, 30)
        await echo(scope, receive, send)

    with peer_of(serve(LIMITS, late)) as peer:
        peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        for _ in range(3):
            timers.run_out(LIMITS.body_seconds)
        went_on.set()
        assert peer.line() == b"HTTP/1.1 100 Continue\r\n"
        assert peer.line() == b"\r\n"
        peer.send(b"text")
        assert peer.answer().heard["body"] == "text"


def test_a_client_that_takes_nothing_is_cut_off_and_its_request_ends(serve: Serve, timers: ManualTimers) -> None:
    has_ended = threading.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watch = asyncio.ensure_future(receive())
        while not watch.done() or watch.result()["type"] != "http.disconnect":
            if watch.done():
                watch = asyncio.ensure_future(receive())
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            await asyncio.sleep(0)
        has_ended.set()

    with peer_of(serve(LIMITS, endless)) as peer:
        peer.send(GET % b"a")
        timers.run_out(LIMITS.write_seconds)
        assert has_ended.wait(30)


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 20_000), 414, "16,384"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(300)) + b"\r\n", 431, "200 headers"),
        (b"GET / HTTP/1.1\r\n" + b"X: %b\r\n" % (b"x" * 200_000) + b"\r\n", 431, "131,072 bytes"),
    ],
    ids=["url", "number of headers", "bytes of headers"],
)
def test_a_head_beyond_its_limits_is_refused(serve: Serve, sent: bytes, status: int, word: str) -> None:
    with peer_of(serve()) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It need not wait for the end.
            peer.send(sent)
        answer = peer.answer()
        assert answer.status == status
        assert word in answer.heard["error"]["message"]
        assert answer.headers["connection"] == "close"


def test_one_connection_too_many_is_answered_with_503(serve: Serve) -> None:
    port = serve(ConnectionLimits(max_connections=2))
    with peer_of(port) as first, peer_of(port) as second:
        first.send(b"GET /a HTTP/1.1\r\n")
        second.send(b"GET /b HTTP/1.1\r\n")
        with peer_of(port) as third:
            answer = third.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            assert third.rest() == b""
        first.send(b"Host: x\r\n\r\n")
        assert first.answer().heard["path"] == "/a"


def test_an_idle_connection_makes_room_for_a_new_one(serve: Serve) -> None:
    port = serve(ConnectionLimits(max_connections=1))
    with peer_of(port) as idle:
        idle.send(GET % b"a")
        assert idle.answer().status == 200
        with peer_of(port) as new:
            new.send(GET % b"b")
            assert new.answer().heard["path"] == "/b"
        assert idle.rest() == b""


def test_what_the_http_server_answers_itself_has_the_security_headers_and_no_banner(serve: Serve) -> None:
    with peer_of(serve()) as peer:
        peer.send(b"no request\r\n\r\n")
        answer = peer.answer()
    assert answer.status == 400
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in answer.headers


def test_a_request_in_one_packet_starts_no_timer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[Any] = []
    original = SlowClientTimer.expect

    def expect(self: SlowClientTimer, part: Any) -> None:
        parts.append(part)
        original(self, part)

    monkeypatch.setattr(SlowClientTimer, "expect", expect)
    with peer_of(serve()) as peer:
        for _ in range(2):
            peer.send(post(b"text"))
            assert peer.answer().status == 200
    assert parts[:3] == ["headers", None, None], "of the connection, and of the two requests"
