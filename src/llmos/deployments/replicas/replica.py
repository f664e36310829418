"""One model in one process: start it, talk to it, notice that it died or is stuck. Knows no restarts; see pool.py."""

import asyncio
import dataclasses
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import cast

from llmos.core.errors import Conflict, LLMOSError, ReplicaFailed, Unavailable
from llmos.deployments.replicas.watchdog import ReplicaTimeouts, Watchdog
from llmos.engine.config import EngineConfig
from llmos.engine.messages import (
    Abort,
    Command,
    Count,
    Counted,
    Delta,
    Embed,
    Embedded,
    EngineStats,
    Event,
    Failed,
    Frame,
    Generate,
    LoadFailed,
    Loading,
    LoadModel,
    Ping,
    Pong,
    Ready,
    Shutdown,
    Started,
)
from llmos.engine.replica.framing import FrameReader, FrameWriter

WORKER_COMMAND = (sys.executable, "-m", "llmos.engine")

EXIT_SECONDS = 10
"""How long a process whose socket has ended may take to exit before it is killed."""


class Replica:
    """A running worker process. Made by start(), which returns when the model is loaded."""

    def __init__(self, process: "subprocess.Popen[bytes]", timeouts: ReplicaTimeouts) -> None:
        self.pid = process.pid
        self.ready: Ready | None = None
        self.load: EngineStats | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process answers no more, for whatever reason."""
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._writer = FrameWriter()
        self._loaded: asyncio.Future[Ready | None] = asyncio.get_running_loop().create_future()
        self._requests: dict[str, asyncio.Queue[Event | None]] = {}
        self._on_loading: Callable[[Loading], None] = lambda _: None
        self._watchdog = Watchdog(timeouts, lambda: self._send(Ping()), self._give_up, self._is_computing)
        self._cpu_ticks = 0
        self.was_stuck = False
        """It owed an answer for too long, and was killed for that."""
        self._is_stopping = False
        self._exit: asyncio.Task[int] | None = None

    @classmethod
    async def start(
        cls,
        files: Mapping[str, Path],
        config: EngineConfig,
        command: Sequence[str] = WORKER_COMMAND,
        timeouts: ReplicaTimeouts | None = None,
        on_loading: Callable[[Loading], None] = lambda _: None,
    ) -> "Replica":
        """Start a process that serves `files`. `on_loading` is told now and then how far the load is.

        Raises what the worker says is wrong with the model, ReplicaFailed where it died without a word, or Unavailable
        where it is not done within timeouts.load_seconds.
        """
        timeouts = timeouts or ReplicaTimeouts()
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own, so that Ctrl-C in a terminal reaches the parent only, which drains its replicas.
            process = subprocess.Popen(
                [*command, "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        replica = cls(process, timeouts)
        replica._on_loading = on_loading
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: _Connection(replica), sock=ours)
            replica._send(
                LoadModel(files={key: str(path) for key, path in files.items()}, config=dataclasses.asdict(config))
            )
            async with asyncio.timeout(timeouts.load_seconds):
                replica.ready = await asyncio.shield(replica._loaded)
            if replica.ready is None:
                raise ReplicaFailed(f"The model's process {await replica.how_it_ended()} while it loaded the model.")
        except TimeoutError:
            await replica.kill()
            raise Unavailable(
                f"The model was not loaded within {timeouts.load_seconds:g} seconds. "
                "If the machine is only slow, raise LLMOS_LOAD_SECONDS."
            ) from None
        except BaseException:
            # Also when the caller is cancelled: a process that nobody waits for must not go on loading.
            await replica.kill()
            raise
        return replica

    @property
    def is_alive(self) -> bool:
        return not self.lost.done()

    @property
    def is_stopping(self) -> bool:
        """It has been told to end."""
        return self._is_stopping

    @property
    def takes_requests(self) -> bool:
        return self.is_alive and not self._is_stopping

    @property
    def is_overdue(self) -> bool:
        """It has not got on for half of the time that its timeout: it may be stuck."""
        return self.is_alive and self._watchdog.is_overdue

    async def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        """Yield Started, then Deltas until each choice has its finish_reason. Closing the generator aborts.

        Raises what the worker says is wrong with the request, or ReplicaFailed where the process died or was stuck.
        """
        if not self.is_alive:
            raise await self._why_lost()
        if request.id in self._requests:
            raise Conflict(f"A request with the id {request.id} is running already. Give every request its own id.")
        queue = self._requests[request.id] = asyncio.Queue()
        num_open = request.sampling.n
        self._watchdog.watch()
        try:
            self._send(request)
            while num_open:
                event = await queue.get()
                if event is None:
                    num_open = 0
                    raise await self._why_lost()
                if isinstance(event, Failed):
                    num_open = 0
                    raise event.error()
                if isinstance(event, Delta) and event.finish_reason:
                    num_open -= 1
                yield event
        finally:
            if num_open:
                self._send(Abort(request.id))
            self._forget(request.id)

    async def count(self, request: Generate) -> int:
        """Return how many tokens the request's prompt has. Raises as generate() does."""
        if not self.is_alive:
            raise await self._why_lost()
        queue = self._requests[request.id] = asyncio.Queue()
        self._watchdog.watch()
        try:
            self._send(Count(request))
            event = await queue.get()
        finally:
            self._forget(request.id)
        if event is None:
            raise await self._why_lost()
        if isinstance(event, Failed):
            raise event.error()
        assert isinstance(event, Counted), "nothing else is told of a prompt that is only counted"
        return event.num_prompt_tokens

    async def embed(self, request: Embed) -> Embedded:
        """Return the vectors of the request's texts. Raises as generate() does. Cancelling aborts."""
        if not self.is_alive:
            raise await self._why_lost()
        if request.id in self._requests:
            raise Conflict(f"A request with the id {request.id} is running already. Give every request its own id.")
        queue = self._requests[request.id] = asyncio.Queue()
        self._watchdog.watch()
        try:
            self._send(request)
            while isinstance(event := await queue.get(), Started):
                pass
        except BaseException:
            self._send(Abort(request.id))
            raise
        finally:
            self._forget(request.id)
        if event is None:
            raise await self._why_lost()
        if isinstance(event, Failed):
            raise event.error()
        assert isinstance(event, Embedded), "a request for vectors is told nothing else"
        return event

    async def drain(self) -> None:
        """Let what runs end, then let the process exit. Returns when it is gone; a stuck one is killed."""
        self._is_stopping = True
        self._send(Shutdown())
        if self.is_alive:
            self._watchdog.watch()
        await asyncio.shield(self.lost)
        await self._exited()

    async def kill(self) -> None:
        """End the process now; its requests fail. Returns when it is gone."""
        self._is_stopping = True
        self._process.kill()
        if self._transport is not None:
            self._transport.abort()
        await self._exited()

    async def how_it_ended(self) -> str:
        """Return, once the process is gone, what became of it: "was killed by signal 9"."""
        status = await self._exited()
        if self.was_stuck:
            return f"gave no sign of life for {self._watchdog.silent_seconds:.3g} seconds and was killed"
        return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"

    def _forget(self, request_id: str) -> None:
        del self._requests[request_id]
        if not self._requests and not self._is_stopping:
            self._watchdog.pause()

    def _send(self, command: Command) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._writer.pack(command))

    def _take(self, event: Event) -> None:
        match event:
            case EngineStats():
                self.load = event
            case Pong():
                self._watchdog.on_answer(event.step_seconds)
            case Loading():
                self._on_loading(event)
            case Ready():
                self._loaded.set_result(event)
            case LoadFailed():
                self._loaded.set_exception(event.error())
            case _:
                if isinstance(event, Started | Counted | Embedded | Failed):
                    self._watchdog.on_progress()
                # Nobody waits for the last events of a request that was aborted.
                if queue := self._requests.get(event.id):
                    queue.put_nowait(event)

    def _lose(self) -> None:
        """The connection has ended: so has the process, or it will."""
        self._watchdog.pause()
        self.lost.set_result(None)
        for queue in self._requests.values():
            queue.put_nowait(None)
        if not self._loaded.done():
            self._loaded.set_result(None)
        # Whether or not anybody asks how it ended: no zombie stays behind.
        self._exit = self._exit or asyncio.create_task(self._reap())

    def _is_computing(self) -> bool:
        """Return whether any thread has computed since the last call, or waits for a CPU or a page now: neither a
        stopped process nor a deadlock does."""
        states, cpu_ticks = set(), 0
        for path in glob(f"/proc/{self.pid}/task/*/stat"):
            with suppress(OSError):  # the thread has just ended
                # The name before the last parenthesis may hold spaces. Behind it: the state; 12th and 13th, times.
                fields = Path(path).read_text().rpartition(")")[2].split()
                states.add(fields[0])
                cpu_ticks += int(fields[11]) + int(fields[12])
        before, self._cpu_ticks = self._cpu_ticks, cpu_ticks
        return cpu_ticks > before or not states.isdisjoint("RD")

    def _give_up(self) -> None:
        self.was_stuck = True
        self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    async def _why_lost(self) -> LLMOSError:
        if self._is_stopping:
            return Unavailable("The model is being stopped. Try again in a moment.", retry_after_seconds=1)
        how = await self.how_it_ended()
        return ReplicaFailed(f"The model's process {how} while it worked on this request. Try again.")

    async def _exited(self) -> int:
        """Wait for the process to be gone and return its status."""
        if self._exit is None:
            self._exit = asyncio.create_task(self._reap())
        return await asyncio.shield(self._exit)

    async def _reap(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(self._process.wait, EXIT_SECONDS)
        self._process.kill()
        return await asyncio.to_thread(self._process.wait)


class _Connection(asyncio.Protocol):
    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._frames: FrameReader[Frame] = FrameReader(Frame)
        self._take: Callable[[Event], None] = replica._take

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._replica._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            for event in frame.events:
                self._take(event)

    def connection_lost(self, error: Exception | None) -> None:
        self._replica._lose()
