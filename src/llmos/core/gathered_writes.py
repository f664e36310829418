"""GatheringTransport: sends what is written in one pass of the event loop with one call of the system.

uvloop sends each piece at once. The head and the body of an answer are two pieces, and so are the events of a stream
and the commands to a replica. Each call of the system gives the interpreter's lock away, and may wake another process.
"""

import asyncio
from typing import Any

_MAX_GATHERED_BYTES = 2**16
"""More is sent at once, so that a writer who never waits is told when the other side takes no more."""


class GatheringTransport(asyncio.Transport):
    """Wraps a transport. Belongs to the event loop's thread.

    write() ──▶ pieces ──▶ end of the pass, close() ──▶ the transport
                   └── abort() drops them
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop() if loop is None else loop
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._num_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > _MAX_GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was written so far."""
        pieces, self._pieces, self._num_bytes = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._pieces, self._num_bytes = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + self._num_bytes

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
