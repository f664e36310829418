"""Models at a provider, and a provider that answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmos.deployments.providers.provider_model import ProviderModel
from llmos.gateway.services import Services
from support.scripted import KEY, fake_route

STREAM = {"content-type": "text/event-stream"}


def remote(services: Services, base_url: str, *, kind: str = "openai", key: str | None = KEY, **settings: Any) -> None:
    """Make `gpt-3` a route to the provider's smollm2."""
    provider = services.providers.add("far", kind=kind, base_url=base_url, key=key)
    routes: Any = services.routes
    routes.remotes["remote:far/smollm2"] = ProviderModel(provider, "smollm2")
    routes.routes["gpt-3"] = fake_route("gpt-3", "remote:far/smollm2", **settings)


class Strange(BaseHTTPRequestHandler):
    """Answers each request with `answer`: the status, the headers and the body."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    afterwards: "Callable[[Strange], None] | None" = None
    """Called with the handler when the answer is sent, before the connection ends."""
    asked: list[str]
    disable_nagle_algorithm = True  # The client would wait for 40 ms.

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if self.afterwards is not None:
            type(self).afterwards(self)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def strange_provider() -> Iterator[tuple[str, type[Strange]]]:
    """Yield the URL of a server, and the class whose `answer` it gives."""
    handler = type("Handler", (Strange,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def openai_stream(*texts: str, usage: dict[str, Any] | None = None, ends: bool = True) -> bytes:
    """Return a stream of OpenAI's API with these pieces of an answer."""
    chunks: list[dict[str, Any]] = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    if ends:
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    if usage is not None:
        chunks.append({"choices": [], "usage": usage})
    done = "data: [DONE]\n\n" if ends else ""
    return ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + done).encode()
