"""HTTP/1.1 from sockets: a request is read as it was meant, one answer comes for each, and none is smuggled in."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator

import pytest

from llmos.gateway.http_server import HttpServer
from llmos.gateway.listening import listen
from support.http_peer import GET, Peer, echo, post

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
GARBAGE = b"\x16\x03\x01 no request\r\n\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listener = listen("127.0.0.1", 0)
    server = HttpServer(echo)
    thread = threading.Thread(target=asyncio.run, args=[server.serve(sockets=[listener])])
    thread.start()
    yield listener.getsockname()[1]
    server.stop()
    thread.join()


@pytest.fixture
def peer(port: int) -> Iterator[Peer]:
    peer = Peer(port)
    yield peer
    peer.close()


def ask_last(peer: Peer) -> None:
    """Check that the connection is in step: the next answer is that to the next request."""
    peer.send(GET % b"last")
    assert peer.answer().heard["path"] == "/last"


@pytest.mark.parametrize("cut", [None, "after the head", "in the head", "in the body", "each byte"])
def test_an_offered_upgrade_is_ignored_and_the_body_is_read(peer: Peer, cut: str | None) -> None:
    sent = post(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE.rstrip())
    end = sent.index(b"\r\n\r\n") + 4
    at = {None: len(sent), "after the head": end, "in the head": 40, "in the body": end + 9, "each byte": 1}[cut]
    peer.send(sent[:at])
    peer.send(*([sent[i : i + 1] for i in range(1, len(sent))] if cut == "each byte" else [sent[at:]]))
    heard = peer.answer().heard
    assert (heard["path"], heard["body"]) == ("/a", "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    ask_last(peer)


def test_an_upgrade_is_ignored_in_a_chunked_request_and_in_one_without_a_body(peer: Peer) -> None:
    peer.send(
        b"POST /a HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n"
    )
    assert peer.answer().heard["body"] == "GET "
    peer.send(b"GET /b HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"X-Kept: 1\r\n\r\n")
    heard = peer.answer().heard
    assert (heard["path"], heard["headers"]["x-kept"]) == ("/b", "1")
    ask_last(peer)


def test_a_websocket_upgrade_is_ignored_too(peer: Peer) -> None:
    peer.send(post(b"text", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"))
    assert peer.answer().heard["body"] == "text"
    ask_last(peer)


def test_requests_in_one_packet_are_answered_in_order_with_and_without_upgrades(peer: Peer) -> None:
    paths = [b"%d" % i for i in range(300)]
    peer.send(
        b"".join(post(b"body of " + p, *[UPGRADE.rstrip()] * (i % 3 > 0), path=b"/" + p) for i, p in enumerate(paths))
    )
    for path in paths:
        heard = peer.answer().heard
        assert (heard["path"], heard["body"]) == (f"/{path.decode()}", f"body of {path.decode()}")
    ask_last(peer)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length : 5",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity\r\nContent-Length: 5",
        b"Transfer-Encoding:\x0bchunked",
        b"X: y\r\n Content-Length: 5",
        b"X: y\rContent-Length: 5",
        b"X: y\nContent-Length: 5",
    ],
    ids=repr,
)
@pytest.mark.parametrize("upgrade", [b"", UPGRADE], ids=["plain", "with an upgrade"])
def test_framing_that_two_programs_may_read_differently_is_refused(peer: Peer, framing: bytes, upgrade: bytes) -> None:
    smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\n" + upgrade + framing + b"\r\n\r\n" + smuggled)
    answer = peer.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.heard["error"]["code"] == "invalid_request"
    assert peer.rest() == b""


def test_a_transfer_coding_in_http_1_0_is_refused(peer: Peer) -> None:
    peer.send(b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\n\r\n")
    assert b"400" in peer.rest().split(b"\r\n")[0]


def test_trailers_do_not_become_headers(peer: Peer) -> None:
    trailers = b"Authorization: Bearer x\r\nX-Y: z\r\n\r\n"
    peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\n" + trailers)
    heard = peer.answer().heard
    assert heard["body"] == "text"
    assert not {"authorization", "x-y"} & heard["headers"].keys()
    ask_last(peer)


def test_garbage_behind_requests_waits_until_they_are_answered(peer: Peer) -> None:
    peer.send(GET % b"one" + post(b"text", path=b"/two") + GARBAGE)
    assert peer.answer().heard["path"] == "/one"
    assert peer.answer().heard["path"] == "/two"
    assert peer.rest() == b""


def test_a_malformed_request_behind_another_gets_its_error_in_its_turn(peer: Peer) -> None:
    peer.send(GET % b"one" + b"POST /two HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n")
    assert peer.answer().heard["path"] == "/one"
    answer = peer.answer()
    assert (answer.status, answer.heard["error"]["code"]) == (400, "invalid_request")
    assert peer.rest() == b""


def test_a_body_that_turns_out_malformed_gets_one_answer(peer: Peer) -> None:
    peer.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n")
    peer.send(b"no size\r\n")
    assert peer.answer().status == 400
    assert peer.rest() == b""


def test_a_body_that_turns_out_malformed_after_the_answer_gets_no_second_one(peer: Peer) -> None:
    peer.send(b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n")
    assert peer.answer().status == 200
    peer.send(b"no size\r\n")
    assert peer.rest() == b""


def test_the_body_of_a_request_that_was_answered_early_is_not_the_next_request(peer: Peer) -> None:
    body = GET % b"smuggled"
    sent = post(body, path=b"/early")
    peer.send(sent[: -len(body)])
    assert peer.answer().heard["path"] == "/early"
    peer.send(body)
    ask_last(peer)


def test_a_client_of_http_1_0_gets_no_chunks_and_no_100_continue(peer: Peer) -> None:
    peer.send(b"POST /stream HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\ntext")
    head, _, body = peer.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["body"] == "text"


def test_a_client_of_http_1_1_gets_chunks_and_100_continue(peer: Peer) -> None:
    peer.send(b"POST /stream HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert peer.line() == b"HTTP/1.1 100 Continue\r\n"
    assert peer.line() == b"\r\n"
    peer.send(b"text")
    answer = peer.answer()
    assert (answer.headers["transfer-encoding"], answer.heard["body"]) == ("chunked", "text")
    ask_last(peer)


@pytest.mark.parametrize("target", [b"//a/b", b"///a/b", b"http://host/a/b", b"http://host:80//a/b"])
def test_the_first_segment_of_a_path_is_never_taken_for_a_host(peer: Peer, target: bytes) -> None:
    peer.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
    assert peer.answer().heard["path"].lstrip("/") == "a/b"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GARBAGE, 400),
        (b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /a\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nX: " + b"x" * 600_000, 431),
        (b"GET /a HTTP/1.1\r\n" + b"X: y\r\n" * 100_000, 431),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_request_is_refused_in_json(peer: Peer, sent: bytes, status: int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It need not wait for the end.
        peer.send(sent)
    answer = peer.answer()
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.heard["error"]["message"].endswith(".")


def test_headers_of_a_hundred_kilobytes_are_read(peer: Peer) -> None:
    peer.send(b"GET /a HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    assert len(peer.answer().heard["headers"]["x"]) == 100_000
