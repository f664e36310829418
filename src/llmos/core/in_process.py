"""Requests of this process to its own application, without a socket. Knows ASGI, and no web framework."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Application = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RawReply:
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


async def exchange(app: _Application, scope: MutableMapping[str, Any], body: bytes) -> RawReply:
    """Send a request and return the whole reply. `scope`: that of ASGI, without what never differs and the length of
    the body. Cancelling this disconnects."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "root_path": "",
        **scope,
        "headers": [*scope["headers"], (b"content-length", b"%d" % len(body))],
    }
    is_read = False
    start: _Message | None = None
    pieces: list[bytes] = []

    async def receive() -> _Message:
        nonlocal is_read
        if is_read:
            await asyncio.Event().wait()  # The client stays connected.
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: _Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
        else:
            pieces.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Exception:
        # The application has replied with a 500 and the id of the logged request. It raises the error as well.
        if start is None:
            raise
    assert start is not None, "the application has replied"
    return RawReply(start["status"], list(start["headers"]), b"".join(pieces))
