"""DriverProcess: keeps the driver running while it is wanted, and carries messages to it. Knows no leases."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from llmos.core.backoff import doubling
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.placing.local import start_worker
from llmos.deployments.ray.messages import Connected, NotConnected, ToDriver, ToServer

DRIVER_COMMAND = (sys.executable, "-m", "llmos.deployments.ray")

EXIT_SECONDS = 5.0
"""Time for a driver whose socket has closed to exit before it is killed."""

_log = logging.getLogger(__name__)


def default_backoff_seconds(num_failures: int) -> float:
    """Return the pause before the driver is started again: 1, 2, 4, 8, 10, 10, ... seconds."""
    return doubling(num_failures, first=1.0, longest=10.0)


class DriverProcess:
    """Belongs to the event loop's thread."""

    def __init__(
        self,
        address: str,
        *,
        command: Sequence[str] = DRIVER_COMMAND,
        backoff_seconds: Callable[[int], float] = default_backoff_seconds,
    ) -> None:
        """`address`: HOST:PORT of Ray's head."""
        self._command, self._backoff_seconds = (*command, address), backoff_seconds
        self.address = address
        self.problem: str | None = f"Ray at {address} doesn't answer yet."
        """Why Ray isn't reached, in a sentence."""
        self.is_connected = False
        self.on_message: Callable[[ToServer], None] = lambda message: None
        self._link: Link[ToServer] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it if it doesn't run. It is started again when it ends, until stop()."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="driver of Ray")

    async def stop(self) -> None:
        """End it, and with it all leases."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def send(self, message: ToDriver) -> None:
        """Send a message, or nothing while Ray isn't reached."""
        if self._link is not None and self.is_connected:
            self._link.send(message)

    async def _run(self) -> None:
        num_failures = 0
        while True:
            if await self._run_once():
                num_failures = 0
            num_failures += 1
            await asyncio.sleep(self._backoff_seconds(num_failures))

    async def _run_once(self) -> bool:
        """Run the driver until it ends. Return whether it had reached Ray."""
        was_connected = False
        process, ours = await asyncio.to_thread(start_worker, self._command)
        link = self._link = Link[ToServer](ToServer)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
            with suppress(LinkClosed):
                while True:
                    message = await link.receive()
                    if isinstance(message, Connected):
                        was_connected, self.is_connected, self.problem = True, True, None
                    elif isinstance(message, NotConnected):
                        self._report(message.reason)
                    self.on_message(message)
            if was_connected:
                self._report(f"Ray at {self.address} was lost. Replicas on its nodes go on.")
        finally:
            self.is_connected = False
            link.abort()
            await asyncio.shield(asyncio.to_thread(_end, process))
        return was_connected

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("%s", problem)
        self.problem = problem


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
