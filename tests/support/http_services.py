"""Services over HTTP that run in a thread of the test."""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


def as_json(value: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@dataclass
class Service:
    """A service that has started."""

    port: int
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    """The headers, in lower case, and the JSON of each request."""
    server_names: list[str | None] = field(default_factory=list)
    """The host names that TLS clients requested."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/screen"


@contextlib.contextmanager
def serving(answer: Callable[[Any], Answer], *, certificate: tuple[Path, Path] | None = None) -> Iterator[Service]:
    """Run a service that answers the JSON of a POST. `certificate`: its files, and those of its key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, content = answer(body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # The client may have gone.
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # A client that goes, or doesn't trust the certificate.

    with Server(("127.0.0.1", 0), Handler) as server:
        service = Service(server.server_address[1])
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            context.sni_callback = lambda _socket, name, _context: service.server_names.append(name)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
