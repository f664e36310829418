"""Live updates: one stream of server-sent events for each open page, with the elements that changed and nothing else.

Tabs whose visitors may see the same share one loop, which asks the server as one of them after the other: so each
session is looked at, and fifty tabs cost what one does. All loops together ask a few times a second at most.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.console.page import Fragments
from llmos.core.connected import while_connected
from llmos.core.errors import LLMOSError, PermissionDenied, Unauthenticated, Unavailable

INTERVAL_SECONDS = 2.0
MAX_LOOKS_PER_SECOND = 2.0
"""With more pages than this has room for, each is looked at less often."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
RELOAD = b"event: reload\ndata: \n\n"
"""Lets the browser load the page again: it is of another version, or the session has ended."""

Memory = dict[str, Any]
"""The state that a feed keeps between two updates."""

Look = Callable[[Memory], Awaitable[Fragments]]


class _Reader:
    def __init__(self, look: Look) -> None:
        self.look = look
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()


class Feed:
    """The content of one page, looked up again and again for as long as somebody reads it."""

    def __init__(self, interval: Callable[[], float]) -> None:
        self._interval = interval
        self._readers: list[_Reader] = []
        self._shown: dict[str, str] = {}
        self._memory: Memory = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_read(self) -> bool:
        return bool(self._readers)

    async def read(self, look: Look) -> AsyncGenerator[bytes, None]:
        """Yield everything, and then what changes, until the server ends or may not be asked any more by `look`."""
        reader = _Reader(look)
        self._readers.append(reader)
        if self._shown:
            reader.chunks.put_nowait(_render(self._shown))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="console")
        try:
            while (chunk := await reader.chunks.get()) is not None:
                yield chunk
        finally:
            if reader in self._readers:
                self._readers.remove(reader)
            if not self._readers and self._task is not None:
                self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._readers:
                await self._look()
                await asyncio.sleep(self._interval())
        except Unavailable:
            pass  # The server stops. Browsers connect again.
        finally:
            for reader in self._readers:
                reader.chunks.put_nowait(None)
            self._readers, self._shown, self._task = [], {}, None

    async def _look(self) -> None:
        """Ask as the next reader, and tell all what has changed."""
        reader = self._readers.pop(0)
        self._readers.append(reader)
        try:
            found = await reader.look(self._memory)
        except (Unauthenticated, PermissionDenied):
            if reader in self._readers:
                self._readers.remove(reader)
            reader.chunks.put_nowait(RELOAD)
            reader.chunks.put_nowait(None)
            return
        except Unavailable:
            raise
        except LLMOSError:
            return  # Such as a busy database: the next look may work.
        changed = {id: html for id, html in found.items() if self._shown.get(id) != html}
        self._shown |= changed
        if changed:
            for each in self._readers:
                each.chunks.put_nowait(_render(changed))


class Feeds:
    """The feeds that are read now."""

    def __init__(self, interval: float = INTERVAL_SECONDS) -> None:
        self._shortest = interval
        self._feeds: dict[Hashable, Feed] = {}

    async def read(self, key: Hashable, look: Look) -> AsyncGenerator[bytes, None]:
        """Yield the chunks of the feed with this key. All who read it must be allowed to see the same."""
        feed = self._feeds.setdefault(key, Feed(self._interval))
        try:
            async with aclosing(feed.read(look)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if not feed.is_read and self._feeds.get(key) is feed:
                del self._feeds[key]

    def _interval(self) -> float:
        return max(self._shortest, len(self._feeds) / MAX_LOOKS_PER_SECOND)


class LiveResponse(Response):
    """Sends chunks for as long as the browser listens."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._chunks, self._more_headers = chunks, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *self._more_headers]})
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def reload_once() -> AsyncGenerator[bytes, None]:
    yield RELOAD


def _render(fragments: Fragments) -> bytes:
    """Return one event that replaces the inside of these elements, keeping focus, selection and scroll."""
    html = "".join(
        f'<hx-partial hx-target="#{id}" hx-swap="innerMorph">{content}</hx-partial>'
        for id, content in fragments.items()
    )
    lines = html.splitlines()
    return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"
