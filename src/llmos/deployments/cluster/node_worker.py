"""NodeWorker: a worker process on this node, whose socket is joined to a connection to the head."""

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from llmos.deployments.cluster.joining import connect, connect_to_node
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.cluster.messages import Attach, Attached, AttachStage, StagePeer
from llmos.deployments.cluster.relay import Relay
from llmos.deployments.placing.cpu_activity import CpuActivity
from llmos.deployments.placing.local import EXIT_SECONDS, start_home
from llmos.deployments.placing.memory_kills import MemoryKills
from llmos.deployments.placing.placer import MAX_LAST_WORDS

OUTPUT_SECONDS = 0.3
"""Time for the last output of a process that has ended. A process that it left behind may hold the pipe open."""


class NodeWorker:
    """Belongs to the event loop's thread. Two threads of its own wait for the process, and for its output."""

    def __init__(
        self,
        id: str,
        command: Sequence[str],
        on_end: "Callable[[NodeWorker, int, str], None]",
        stages: Sequence[StagePeer] = (),
        *,
        is_stage: bool = False,
    ) -> None:
        """Start the process. `on_end` gets its exit status and its last output. `stages`: of a split model that it is
        the home of."""
        self.id, self.is_stage = id, is_stage
        self._stages = stages
        self._memory_kills = MemoryKills()
        self._process, self._socket, self._to_stages = start_home(command, len(stages), stderr=subprocess.PIPE)
        self.pid = self._process.pid
        self.has_computed: Callable[[], bool] = CpuActivity(self.pid).has_computed
        self._on_end = on_end
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._relays: list[Relay] = []
        self._is_attached = False
        self._last_words = b""
        self._reader = threading.Thread(target=self._copy_output, name=f"output of {self.pid}", daemon=True)
        self._reader.start()
        threading.Thread(
            target=self._wait, args=(asyncio.get_running_loop(),), name=f"end of {self.pid}", daemon=True
        ).start()

    async def attach(self, head: tuple[str, int], context: ssl.SSLContext) -> None:
        """Join the process to the head. Raises ConnectionFailed, PermissionDenied and LinkClosed."""
        link = await connect(head, context, last=Attached)
        link.send(Attach(self.id))
        if not isinstance(await link.receive(), Attached):
            link.close()
            raise LinkClosed("the head doesn't know the worker any more")
        await self.serve(link)

    async def serve(self, link: Link[Any]) -> None:
        """Join the process's own socket to a connection on which its frames come."""
        if self._ended.done():
            link.close()
            return  # Its end was reported.
        self._is_attached = True
        await self._join(self._socket, link)

    async def attach_stages(self, context: ssl.SSLContext) -> None:
        """Join the process to the stages that it is the home of. Raises ConnectionFailed and LinkClosed."""
        for stage, connection in zip(self._stages, self._to_stages, strict=True):
            link = await connect_to_node(stage.node, (stage.host, stage.port), context, last=Attached)
            link.send(AttachStage(stage.worker))
            if not isinstance(await link.receive(), Attached):
                link.close()
                raise LinkClosed(f"the node {stage.node} doesn't know its stage any more")
            await self._join(connection, link)

    @property
    def is_attached(self) -> bool:
        return self._is_attached

    async def _join(self, connection: socket.socket, link: Link[Any]) -> None:
        near, far = Relay(self._on_disconnected), Relay()
        self._relays += [near, far]
        link.hand_over(far)
        await asyncio.get_running_loop().create_unix_connection(lambda: near, sock=connection)
        near.join(far)

    def end(self) -> None:
        """Kill the process; its end is reported as any other."""
        self._process.kill()

    async def wait(self) -> None:
        await asyncio.shield(self._ended)

    def _on_disconnected(self) -> None:
        """Kill a process that doesn't exit although its socket has closed."""
        asyncio.get_running_loop().call_later(EXIT_SECONDS, self._process.kill)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        status = self._process.wait()
        self._reader.join(OUTPUT_SECONDS)
        with suppress(RuntimeError):  # The loop has ended, and with it the agent.
            loop.call_soon_threadsafe(self._finish, status)

    def _finish(self, status: int) -> None:
        for end in self._relays:
            end.close()
        for connection in (self._socket, *self._to_stages):
            connection.close()
        if not self._ended.done():
            self._ended.set_result(None)
        last_words = self._last_words.decode(errors="replace")
        if limit := self._memory_kills.limit_of(status):
            last_words += f"\nThe kernel killed it: the memory limit of {limit:,} bytes was reached."
        self._on_end(self, status, last_words)

    def _copy_output(self) -> None:
        """Copy what the process says to our own stderr, and keep the end of it."""
        assert self._process.stderr is not None, "it is a pipe"
        with self._process.stderr as output:
            while data := output.read1(1 << 16):  # type: ignore[attr-defined]
                self._last_words = (self._last_words + data)[-MAX_LAST_WORDS:]
                with suppress(OSError, ValueError):
                    sys.stderr.buffer.write(data)
                    sys.stderr.flush()
