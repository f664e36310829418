"""TokenClock: a provider in OpenAI's format whose tokens say when they were sent, in milliseconds since 1970."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

SECONDS_BETWEEN = 0.02


class TokenClock:
    """Runs in threads of this process for as long as its block.

    Example:
        with TokenClock(300) as clock:
            print(clock.base_url)
    """

    def __init__(self, num_tokens: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for _ in range(num_tokens):
                    self._send(f"at{time.time() * 1000:.0f} ", None)
                    time.sleep(SECONDS_BETWEEN)
                self._send("over", "stop")
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def _send(self, text: str, finish_reason: str | None) -> None:
                choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
                event = {"id": "clock", "object": "chat.completion.chunk", "model": "clock", "choices": [choice]}
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
