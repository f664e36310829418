"""AppHttpServer: serves an App on sockets until it is told to stop, and ends when its last run has ended."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from llmos.hosting.continuing import Continuation
from llmos.hosting.serving import Served, serve_app

_TICK_SECONDS = 1.0


class AppHttpServer(uvicorn.Server):
    """uvicorn that leaves signals to us, and sleeps while nothing happens."""

    def __init__(self, served: Served) -> None:
        config = uvicorn.Config(
            serve_app(served), lifespan="off", log_level="warning", access_log=False, server_header=False, ws="none"
        )
        super().__init__(config)
        self._served = served
        self._stopping = asyncio.Event()

    async def run_until_stopped(
        self, listener: socket.socket, continuation: Continuation, *, after_seconds: float = 0.0
    ) -> None:
        """Serve until SIGTERM or SIGINT; then refuse new runs, and return when the last one has ended.

        A second signal cancels the runs.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        continuing = asyncio.create_task(continuation.run(after_seconds=after_seconds))
        try:
            await self.serve(sockets=[listener])
            await self._served.drain()  # Those that are continued belong to no request.
        finally:
            continuing.cancel()
            await self._served.app.aclose()

    def _on_signal(self) -> None:
        if self.should_exit:
            self.force_exit = True
        self._served.is_draining = self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stopping.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
