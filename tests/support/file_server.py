"""Fixtures of files and where they come from: pinned files, and an HTTP server with failing connections."""

import hashlib
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmos.core.store.blobs import StoredFile


def stored_file(name: str, content: bytes) -> StoredFile:
    return StoredFile(name, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


@pytest.fixture
def pin() -> Callable[[str, bytes], StoredFile]:
    return stored_file


@dataclass
class BadServer:
    """An HTTP server with failing connections. Each request takes the next of `moods`; without one, it succeeds.

    "cut:N"     the connection breaks after N bytes of the answer
    "status:N"  the answer has this status and no file
    """

    files: dict[str, bytes] = field(default_factory=dict)
    moods: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer."""
    redirects: dict[str, str] = field(default_factory=dict)
    """{path: where the file is instead}"""
    knows_range: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of every request."""
    authorizations: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server():
    with serving() as state:
        yield state


@contextmanager
def serving():
    """Serve files until the block ends."""
    state = BadServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # The client would wait for 40 ms.

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            state.authorizations.append(self.headers.get("Authorization"))
            mood = state.moods.pop(0) if state.moods else "good"
            content = state.files.get(self.path)
            if self.path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[self.path])
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if mood.startswith("status:"):
                return self._answer(int(mood.removeprefix("status:")), b"")
            if content is None:
                return self._answer(404, b"")
            start = 0
            if wanted and state.knows_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    return self._answer(416, b"")
            cut = int(mood.removeprefix("cut:")) if mood.startswith("cut:") else None
            span = f"bytes {start}-{len(content) - 1}/{len(content)}" if wanted and state.knows_range else None
            return self._answer(206 if span else 200, content[start:], span, cut)

        def _answer(self, status, body, span=None, cut=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in state.headers.items():
                self.send_header(name, value)
            if span:
                self.send_header("Content-Range", span)
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, *arguments):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{web.server_port}"
    try:
        yield state
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
