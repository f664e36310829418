"""A server that answers at once: a model's description, an answer, or a stream that stays open after its first piece.

It prints its address. Requests are small and come in one piece, or with their body in a second one.
"""

import asyncio
import hmac
import json
import re
from typing import cast

import uvloop

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
MODEL = {"name": "dialogue", "version": "instant@1", "context_length": 8192}
ANSWER = {
    "id": "a",
    "text": "Hello",
    "model": "dialogue",
    "version": "instant@1",
    "finish_reason": "stop",
    "usage": USAGE,
}


def answer(body: object, *headers: str) -> bytes:
    data = json.dumps(body).encode()
    head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(head).encode() + data


PIECE = b'data: {"id": "a", "text": "Hello"}\n\n'
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n"
    % (len(PIECE), PIECE)
)  # fmt: skip
DESCRIBED, ANSWERED = answer(MODEL), answer(ANSWER)
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CHALLENGE = re.compile(rb"llmos-challenge: *(\w+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if separator and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if challenge := CHALLENGE.search(head):
            port = self._transport.get_extra_info("sockname")[1]
            message = f"llmos server proof\n{challenge[1].decode()}\n{port}".encode()
            return answer({}, f"llmos-proof: {hmac.digest(b'owner', message, 'sha256').hex()}")
        if head.startswith(b"GET"):
            return DESCRIBED
        return STREAM if b'"stream":true' in body else ANSWERED


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
