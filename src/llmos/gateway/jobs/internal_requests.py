"""Requests that this process sends to its own application, so that a line of a batch takes the path of any request."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from llmos.security.callers import Caller


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Headers
    body: bytes


async def post(app: ASGIApp, path: str, body: bytes, caller: Caller) -> Reply:
    """Send a request on behalf of the caller and return the reply. Cancelling this disconnects."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
        "state": {"caller": caller},
    }
    is_read = False
    start: Message | None = None
    pieces: list[bytes] = []

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            await asyncio.Event().wait()  # The client stays connected.
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
        else:
            pieces.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Exception:
        # Starlette has replied with a 500 and the id of the logged request. It raises the error as well.
        if start is None:
            raise
    assert start is not None, "the application has replied"
    return Reply(start["status"], Headers(raw=list(start["headers"])), b"".join(pieces))
