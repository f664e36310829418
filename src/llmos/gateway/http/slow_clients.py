"""SlowClientTimer: notices that a client is slow to send a request, or to take the response.

One timer for each direction and connection. A request that comes in one packet starts none.

    connection ──► head ──► body ──► (no timer while the server works) ──► idle (the server's keep-alive timer)
                    │        │
                    └────────┴──► on_slow_request("headers" or "body")
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from llmos.gateway.http.connection_limits import ConnectionLimits

Part = Literal["headers", "body"]


class SlowClientTimer:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: ConnectionLimits,
        *,
        on_slow_request: Callable[[Part], None],
        on_slow_response: Callable[[], None],
        is_reading: Callable[[], bool],
    ) -> None:
        """`is_reading`: whether the server takes what the client sends. A client can't be slow while it does not."""
        self._loop, self._limits, self._is_reading = loop, limits, is_reading
        self._on_slow_request, self._on_slow_response = on_slow_request, on_slow_response
        self._request_timer: asyncio.TimerHandle | None = None
        self._response_timer: asyncio.TimerHandle | None = None
        self._part: Part | None = None
        self._num_bytes = 0
        self._was_paused = False

    def expect(self, part: Part | None) -> None:
        """Start the time for a part of the request, unless it runs already. None: the client owes nothing."""
        if part == self._part:
            return
        self._part = part
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
        if part == "headers":
            self._request_timer = self._loop.call_later(self._limits.head_seconds, self._on_slow_request, part)
        elif part == "body":
            self._start_body_period()

    def received(self, num_bytes: int) -> None:
        """Count bytes of a body."""
        self._num_bytes += num_bytes

    def paused(self) -> None:
        """Note that the server has stopped reading for a while."""
        self._was_paused = True

    def expect_reader(self) -> None:
        """Start the time in which the client must take what is waiting for it."""
        if self._response_timer is None:
            self._response_timer = self._loop.call_later(self._limits.write_seconds, self._on_slow_response)

    def reader_came(self) -> None:
        if self._response_timer is not None:
            self._response_timer.cancel()
            self._response_timer = None

    def stop(self) -> None:
        self.expect(None)
        self.reader_came()

    def _start_body_period(self) -> None:
        self._num_bytes, self._was_paused = 0, not self._is_reading()
        self._request_timer = self._loop.call_later(self._limits.body_seconds, self._end_body_period)

    def _end_body_period(self) -> None:
        is_servers_fault = self._was_paused or not self._is_reading()
        if is_servers_fault or self._num_bytes >= self._limits.min_body_bytes:
            self._start_body_period()
        else:
            self._on_slow_request("body")
