"""The real server, spoken to by clients that offer upgrades, speak HTTP/1.0, compress, or run in a browser."""

import gzip
import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from support.real_server import KEY, Running

pytestmark = pytest.mark.process

BODY: dict[str, Any] = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 3,
    "temperature": 0,
}
UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"


def ask(running: Running, *packets: bytes) -> bytes:
    """Send the packets on one connection and return all that comes until the server closes it."""
    address = urlsplit(running.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        for packet in packets:
            connection.sendall(packet)
        return connection.makefile("rb").read()


def head(length: int, *, path: str = "/v1/chat/completions", version: str = "1.1", more: str = "") -> bytes:
    lines = (
        f"POST {path} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n{more}"
    )
    return f"{lines}\r\n".encode()


def test_an_offered_upgrade_is_answered_as_if_it_were_not(running: Running) -> None:
    body = json.dumps(BODY).encode()
    answer = ask(running, head(len(body), more=UPGRADE + "Connection: close\r\n"), body)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_behind_an_upgrade_is_no_request_of_its_own(running: Running) -> None:
    inner = f"GET /api/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
    answer = ask(running, head(len(inner), more=UPGRADE + "Connection: close\r\n"), inner)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"not valid JSON" in answer


def test_a_stream_to_a_client_of_http_1_0_has_no_chunks(running: Running) -> None:
    body = json.dumps({**BODY, "stream": True}).encode()
    answer = ask(running, head(len(body), version="1.0") + body)
    headers, _, events = answer.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in headers
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")


@pytest.mark.skipif(shutil.which("java") is None, reason="needs a Java runtime with a compiler")
def test_javas_default_client_gets_answers(running: Running) -> None:
    program = Path(__file__).parent / "java" / "Ask.java"
    url = f"{running.url}/v1/chat/completions"
    done = subprocess.run(["java", str(program), url, KEY, json.dumps(BODY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == 4
    for answer in answers:
        status, _, body = answer.partition(" ")
        assert (status, json.loads(body)["usage"]["completion_tokens"]) == ("200", 3)


def test_a_compressed_request_with_azures_key_and_too_many_slashes_is_answered(running: Running) -> None:
    headers = {"api-key": KEY, "content-encoding": "gzip"}
    body = gzip.compress(b"\xef\xbb\xbf" + json.dumps(BODY).encode())
    reply = httpx.post(f"{running.url}//v1//chat/completions/", content=body, headers=headers, timeout=60)
    assert (reply.status_code, reply.json()["usage"]["completion_tokens"]) == (200, 3)


def test_a_page_asks_first_and_reads_the_stream_then(running: Running) -> None:
    url, origin = f"{running.url}/v1/chat/completions", {"origin": "http://localhost:3000"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = httpx.options(url, headers=origin | asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-headers"]) == (204, "authorization")
    reply = httpx.post(url, json={**BODY, "stream": True}, headers=origin | {"x-api-key": KEY}, timeout=60)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, origin["origin"])
