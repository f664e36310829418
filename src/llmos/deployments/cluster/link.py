"""Link: one end of a connection between two machines of a cluster. Messages are frames over TLS, or are handed over.

The limits of time are chosen so that a break of five seconds is survived, and a connection that is cut for good fails
within eight, by the kernel, also while nothing is sent.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

import msgspec

from llmos.deployments.cluster.authority import NODE_SUFFIX
from llmos.deployments.cluster.messages import MAX_MESSAGE_BYTES
from llmos.engine.replica.framing import FrameReader, FrameWriter

T = TypeVar("T")

_log = logging.getLogger(__name__)

DEAD_AFTER_SECONDS = 7
"""Unacknowledged data ends a connection after this time."""

_IDLE_SECONDS, _PROBE_SECONDS = 3, 1
"""A connection on which nothing is sent is probed after this time, and then this often."""

_MAX_WAITING = 64
"""Messages that wait for their reader before no more are read from the network."""


class LinkClosed(ConnectionError):
    """The connection has ended. Its text is the reason."""


class Link(asyncio.Protocol, Generic[T]):
    """Belongs to the event loop's thread.

    link = Link(ToNode)
    await loop.create_connection(lambda: link, host, port, ssl=context, server_hostname=HEAD_NAME)
    link.send(Register(...))
    reply = await link.receive()
    """

    def __init__(
        self,
        kind: Any,
        on_connected: "Callable[[Link[T]], None]" = lambda link: None,
        *,
        last: type | None = None,
    ) -> None:
        """`kind`: of the messages that are received. `last`: the message after which other frames come, for
        hand_over()."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended."""
        self._frames: FrameReader[T] = FrameReader(kind, MAX_MESSAGE_BYTES)
        self._writer = FrameWriter()
        self._on_connected, self._last = on_connected, last
        self._has_last = False
        self._messages: deque[T] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._reason = "the connection was closed"

    @property
    def peer(self) -> str:
        """The address of the other end."""
        assert self._transport is not None, "it is connected"
        return str((self._transport.get_extra_info("peername") or ("",))[0])

    @property
    def node(self) -> str | None:
        """The name of the node that the other end has a certificate of; None without one, and for the head."""
        assert self._transport is not None, "it is connected"
        names = (self._transport.get_extra_info("peercert") or {}).get("subjectAltName", ())
        found = [name.removesuffix(NODE_SUFFIX) for _, name in names if name.endswith(NODE_SUFFIX)]
        return found[0] if found else None

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate of the other end, DER."""
        assert self._transport is not None, "it is connected"
        return cast(bytes | None, self._transport.get_extra_info("ssl_object").getpeercert(True))

    def send(self, message: Any) -> None:
        """Send a message, or nothing if the connection has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._writer.pack(message))

    async def drain(self) -> None:
        """Wait until the network has taken most of what was sent. Raises LinkClosed."""
        await self._can_write.wait()
        if self.closed.done():
            raise LinkClosed(self._reason)

    async def receive(self) -> T:
        """Return the next message. Raises LinkClosed."""
        while not self._messages:
            if self.closed.done():
                raise LinkClosed(self._reason)
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = self._messages.popleft()
        if len(self._messages) == _MAX_WAITING // 2 and self._transport is not None:
            with suppress(RuntimeError):
                self._transport.resume_reading()
        return message

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Give everything that arrives from now on, and the transport, to another protocol."""
        assert self._transport is not None, "it is connected"
        transport = self._transport
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest := self._frames.take_rest():
            protocol.data_received(rest)
        if self.closed.done():
            protocol.connection_lost(None)

    def close(self, reason: str | None = None) -> None:
        """End the connection after what was sent."""
        self._reason = reason or self._reason
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        limit_silence(transport.get_extra_info("socket"))
        self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._read(data)
        except msgspec.DecodeError as error:
            _log.warning("%s sent what is no message of a cluster: %s", self.peer, error)
            self._reason = "the other end sent what is no message"
            self.abort()
        if len(self._messages) > _MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def _read(self, data: bytes) -> None:
        if self._has_last:
            self._frames.keep(data)
            return
        messages = self._frames.feed(data)
        for message in messages:
            self._messages.append(message)
            if self._last is not None and isinstance(message, self._last):
                self._has_last = True
                messages.close()
                return

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._reason = str(error) or type(error).__name__
        if not self.closed.done():
            self.closed.set_result(None)
        self._can_write.set()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def limit_silence(connection: Any) -> None:
    """Let the kernel end a TCP connection whose other end is gone. Elsewhere than on Linux, that takes longer."""
    options = {
        (socket.IPPROTO_TCP, "TCP_NODELAY"): 1,
        (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): _IDLE_SECONDS,
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): _PROBE_SECONDS,
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): DEAD_AFTER_SECONDS * 1000,
    }
    for (level, name), value in options.items():
        if (option := getattr(socket, name, None)) is not None:
            with suppress(OSError):
                connection.setsockopt(level, option, value)
