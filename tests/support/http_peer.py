"""A client that sends bytes as a test says, and an application that answers with what it read."""

import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was read. /stream answers without a content-length, /early before it has read the body."""
    body, more_body = b"", scope["path"] != "/early"
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more_body = body + message["body"], message["more_body"]
    heard = {"method": scope["method"], "path": scope["path"], "body": body.decode("latin-1")}
    heard["headers"] = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    answer = json.dumps(heard).encode()
    headers = [] if scope["path"] == "/stream" else [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer[:9], "more_body": True})
    await send({"type": "http.response.body", "body": answer[9:]})


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def heard(self) -> Any:
        return json.loads(self.body)


class Peer:
    """A client that sends bytes as the test says, and reads answers one by one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self._socket.sendall(packet)

    def answer(self, method: str = "GET") -> Answer:
        """Read the next answer, and not a byte beyond it."""
        response = HTTPResponse(_Readable(self._file), method=method)  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, dict(response.getheaders()), response.read())

    def line(self) -> bytes:
        return self._file.readline()

    def rest(self) -> bytes:
        """Return what comes until the server closes the connection."""
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class _Readable:
    """A socket for HTTPResponse, which closes the file that it reads from."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> Any:
        return self

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def post(body: bytes, *headers: bytes, path: bytes = b"/a") -> bytes:
    head = b"".join(header + b"\r\n" for header in headers)
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (path, head, len(body), body)
