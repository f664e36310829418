"""A receiver of webhooks: a real server that remembers what it got, and answers as a test asks it to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str]]
"""Status and headers."""


@dataclass
class Receiver:
    port: int
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """The headers, in lower case, and the body of each request."""
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Counts the requests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@contextmanager
def receiving(
    reply: Callable[[int], Reply] = lambda number: (200, {}), *, port: int = 0, before: Callable[[], Any] = lambda: None
) -> Iterator[Receiver]:
    """Run a receiver. reply: (the number of the request, from 1) → the answer. before: called before it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            number = len(receiver.got)
            receiver.arrived.release()
            before()
            status, headers = reply(number)
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                pass  # The sender has gone.

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", port), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
