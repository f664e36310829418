"""A receiver of usage events as OpenMeter and Lago are: it counts each id once, and fails as a test asks it to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = dict[str, Any]
Fault = int | str | None
"""A status that is answered in place of taking events; "cut": they are taken, and the connection is cut before the
answer; "drop": it is cut before they are; None: nothing goes wrong."""


@dataclass
class MeteringService:
    port: int
    kind: str
    counted: dict[str, Event] = field(default_factory=dict)
    """By id."""
    num_requests: int = 0
    num_repeated: int = 0
    """Events that it had already."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    """The events of each request."""
    refuses: Callable[[Event], str] = lambda event: ""
    """The fault of an event; empty: none."""
    fault: Callable[[int], Fault] = lambda number: None
    """(the number of the request, from 1) → what goes wrong."""
    before: Callable[[], Any] = lambda: None
    """Called before it answers."""
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sum(self, name: str) -> int:
        """Return the sum of a number of the events: the one of `data`, or of Lago's code llmos_NAME."""
        if self.kind == "lago":
            return sum(int(e["properties"]["value"]) for e in self.counted.values() if e["code"] == f"llmos_{name}")
        return sum(event["data"][name] for event in self.counted.values())

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self.kind == "lago":
            return self._lago(json.loads(body)["events"]) if path == "/api/v1/events/batch" else (404, b"")
        events = json.loads(body)
        if path != ("/api/v1/events" if self.kind == "openmeter" else "/events"):
            return 404, b""
        self.batches.append(len(events))
        for event in events:
            if reason := self.refuses(event):
                return 400, json.dumps({"detail": f"invalid event: {reason}"}).encode()
        for event in events:
            self._count(event["id"], event)
        return 204, b""

    def _lago(self, events: list[Event]) -> tuple[int, bytes]:
        """One that is wrong, or known, fails the batch, and the answer names all of these."""
        self.batches.append(len(events))
        if len(events) > 100:
            return 422, json.dumps({"status": 422, "error_details": {"events": ["too_many_events"]}}).encode()
        errors: dict[str, Any] = {}
        for index, event in enumerate(events):
            if event["transaction_id"] in self.counted:
                errors[str(index)] = {"transaction_id": ["value_already_exist"]}
            elif reason := self.refuses(event):
                errors[str(index)] = {"properties": [reason]}
        if errors:
            self.num_repeated += sum("transaction_id" in each for each in errors.values())
            details = {"status": 422, "error": "Unprocessable Entity", "code": "validation_errors"}
            return 422, json.dumps(details | {"error_details": errors}).encode()
        for event in events:
            self._count(event["transaction_id"], event)
        return 200, json.dumps({"events": events}).encode()

    def _count(self, id: str, event: Event) -> None:
        self.num_repeated += id in self.counted
        self.counted[id] = event


@contextmanager
def metering(kind: str = "openmeter", *, port: int = 0, **options: Any) -> Iterator[MeteringService]:
    """Run a service. `options`: fields of it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with service.lock:
                service.num_requests += 1
                fault = service.fault(service.num_requests)
                service.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, reply = (fault, b"") if isinstance(fault, int) else (0, b"")
                if fault is None or fault == "cut":
                    status, reply = service.answer(self.path, body)
            service.arrived.release()
            service.before()
            try:
                if isinstance(fault, str):
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)
            except OSError:
                pass  # The sender has gone.

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", port), Handler) as server:
        service = MeteringService(server.server_address[1], kind, **options)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
