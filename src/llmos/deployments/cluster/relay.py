"""relay: joins two connections, so that what arrives at one is sent on the other. Looks at no frame."""

import asyncio
from collections.abc import Callable
from typing import cast


class Relay(asyncio.Protocol):
    """One of the two ends. What one end can't send makes the other stop reading; when one is lost, so is the other."""

    def __init__(self, on_lost: Callable[[], None] = lambda: None) -> None:
        self._on_lost = on_lost
        self._other: Relay | None = None
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        """Data that was received before the other connection joined."""

    def join(self, other: "Relay") -> None:
        self._other, other._other = other, self
        for one in (self, other):
            early, one._early = one._early, []
            for data in early:
                one.data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
        elif self._other._transport is not None:
            self._other._transport.write(data)

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._other is not None:
            self._other.close()
        self._on_lost()

    def close(self) -> None:
        """End this connection after what was sent."""
        if self._transport is not None:
            self._transport.close()
