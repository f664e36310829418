"""An HTTP server for one app: uvicorn, with limits of connections, and an end as soon as the last answer is sent."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from llmos.gateway.http.connection_limits import DEFAULT_LIMITS, ConnectionLimits
from llmos.gateway.http.protocol import HttpProtocol
from llmos.gateway.http.security_headers import EVERYWHERE, STRICT_TRANSPORT_SECURITY
from llmos.gateway.tls import Tls

_DATE_SECONDS = 1.0
"""The `Date` of answers is renewed this often."""

_CLOSING_SECONDS = 0.005
"""While it shuts down, the server looks this often whether answers and connections have ended."""


def http_config(app: ASGIApp, tls: Tls | None = None, limits: ConnectionLimits = DEFAULT_LIMITS) -> uvicorn.Config:
    """Return how `app` is served over HTTP."""
    headers = [*EVERYWHERE]
    # Browsers heed it from a certificate that they trust only, and for a self-signed one it would bind localhost.
    if tls is not None and not tls.is_self_signed:
        headers.append(STRICT_TRANSPORT_SECURITY)
    return uvicorn.Config(
        app,
        loop="none",
        http=partial(HttpProtocol, limits=limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,  # uvicorn's own would write to stderr in the event loop's thread. See messages_logged().
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=headers,
        timeout_keep_alive=75,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls.context,
    )


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process by the signal instead of with status 0.

    It stops as soon as it can, where uvicorn looks ten times a second whether it should, and an idle server sleeps.
    """

    def __init__(self, app: ASGIApp, tls: Tls | None = None, limits: ConnectionLimits = DEFAULT_LIMITS) -> None:
        super().__init__(http_config(app, tls, limits))
        self._limits = limits
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections. uvicorn's own gives a TLS handshake a minute, in which it counts for no limit."""
        seconds = None if self.config.ssl is None else self._limits.handshake_seconds
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                partial(self.protocol, self.config),
                sock=each,
                ssl=self.config.ssl,
                ssl_handshake_timeout=seconds,
                backlog=self.config.backlog,
            )
            for each in sockets or ()
        ]
        self.started = True

    def protocol(self, config: uvicorn.Config) -> HttpProtocol:
        """Return the protocol of a new connection."""
        return HttpProtocol(limits=self._limits, config=config, server_state=self.server_state, app_state={})

    def stop(self) -> None:
        """Stop after the last answer. Any thread may call this, also before the server has started."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # Which renews the date.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_SECONDS):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(_CLOSING_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
