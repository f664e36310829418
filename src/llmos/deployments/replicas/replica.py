"""Replica: one model in one worker process. Talks to it, and detects that it died or is stuck.

Knows no restarts (slot.py), and not where the process runs (placing/).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import cast

import msgspec

from llmos.core.errors import BadRequest, Conflict, LLMOSError, ReplicaFailed, Unavailable
from llmos.core.gathered_writes import GatheringTransport
from llmos.deployments.placing.placer import PlacementRequest, Placer, WorkerExit, WorkerProcess
from llmos.deployments.replicas.event_queue import EventQueue
from llmos.deployments.replicas.watchdog import ReplicaTimeouts, Watchdog
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
    Ping,
    Pong,
    Rate,
    Rated,
    Ready,
    Shutdown,
    Started,
    Tokenize,
    Tokenized,
)
from llmos.engine.replica.framing import FrameReader, FrameWriter

logger = logging.getLogger(__name__)

OnLoading = Callable[[Loading], None]
"""Callback for the progress of a load."""


class Replica:
    """A running worker process. Created by start(), which returns when the model is loaded."""

    def __init__(self, worker: WorkerProcess, timeouts: ReplicaTimeouts) -> None:
        self.pid, self.node = worker.pid, worker.node
        self.ready: Ready | None = None
        self.load: EngineStats | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection to the process has ended, for whatever reason."""
        self.was_stuck = False
        """True once it was killed because it owed an answer for too long."""
        self.watchdog = Watchdog(timeouts, lambda: self._send(Ping()), self._kill_stuck, worker.has_computed)
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._writer = FrameWriter()
        self._loaded: asyncio.Future[Ready | None] = asyncio.get_running_loop().create_future()
        self._requests: dict[str, EventQueue] = {}
        """The events of each open request."""
        self._on_loading: OnLoading = lambda _: None
        self._is_stopping = False
        self._exit: asyncio.Task[WorkerExit] | None = None

    @classmethod
    async def start(
        cls,
        placer: Placer,
        request: PlacementRequest,
        timeouts: ReplicaTimeouts | None = None,
        on_loading: OnLoading = lambda _: None,
    ) -> "Replica":
        """Start a process that serves the model. `on_loading` is called with the progress now and then.

        Raises what the placer says if it starts none, what the worker says is wrong with the model, ReplicaFailed if
        the process died before it said anything, and Unavailable if the model is not loaded within
        timeouts.load_seconds.
        """
        timeouts = timeouts or ReplicaTimeouts()
        replica = cls(await placer.place(request), timeouts)
        replica._on_loading = on_loading
        try:
            await replica._worker.connect(lambda: _Connection(replica))
            replica._send(replica._worker.command)
            async with asyncio.timeout(timeouts.load_seconds):
                replica.ready = await asyncio.shield(replica._loaded)
            if replica.ready is None:
                raise ReplicaFailed(f"The model's process {await replica.describe_exit()} while it loaded the model.")
        except TimeoutError:
            await replica.kill()
            raise Unavailable(
                f"The model was not loaded within {timeouts.load_seconds:g} seconds. "
                "If the machine is only slow, raise LLMOS_LOAD_SECONDS."
            ) from None
        except BaseException:
            # Also when the caller is cancelled: a process without a caller must not go on loading.
            await replica.kill()
            raise
        return replica

    @property
    def warning(self) -> str | None:
        """A sentence about a fault of the machine that it runs on, although it answers."""
        return self._worker.warning

    @property
    def is_alive(self) -> bool:
        return not self.lost.done()

    @property
    def is_stopping(self) -> bool:
        """True once it has been asked to end."""
        return self._is_stopping

    @property
    def accepts_requests(self) -> bool:
        return self.is_alive and not self._is_stopping

    @property
    def is_overdue(self) -> bool:
        """True when half of its timeout is used up: it may be stuck."""
        return self.is_alive and self.watchdog.is_overdue

    async def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        """Yield the request's events until each choice has its finish_reason. Closing the generator aborts.

        Raises what the worker says is wrong with the request, or ReplicaFailed if the process died or was stuck.
        """
        self._check_adapter(request)
        num_unfinished = request.sampling.n
        with await self._open(request.id) as events:
            try:
                self._send(request)
                while num_unfinished:
                    event = await self._next(events)
                    if isinstance(event, Delta) and event.finish_reason:
                        num_unfinished -= 1
                    yield event
            except LLMOSError:
                num_unfinished = 0  # The worker has ended the request itself.
                raise
            finally:
                if num_unfinished:
                    self._send(Abort(request.id))

    async def count(self, request: Generate) -> int:
        """Return the number of tokens of the request's prompt. Raises as generate() does."""
        with await self._open(request.id) as events:
            self._send(Count(request))
            event = await self._next(events)
        assert isinstance(event, Counted), "a worker answers Count with nothing else"
        return event.num_prompt_tokens

    async def tokenize(self, command: Tokenize) -> Tokenized:
        """Return the tokens of a prompt. Raises as generate() does."""
        with await self._open(command.id) as events:
            self._send(command)
            event = await self._next(events)
        assert isinstance(event, Tokenized), "a worker answers Tokenize with nothing else"
        return event

    async def embed(self, request: Embed) -> Embedded:
        """Return the vectors of the request's texts. Raises as generate() does. Cancelling aborts."""
        event = await self._compute(request)
        assert isinstance(event, Embedded), "a worker answers Embed with nothing else"
        return event

    async def rate(self, command: Rate) -> Rated:
        """Return the scores of the given texts. Raises as generate() does. Cancelling aborts."""
        self._check_adapter(command.request)
        event = await self._compute(command)
        assert isinstance(event, Rated), "a worker answers Rate with nothing else"
        return event

    def _check_adapter(self, request: Generate) -> None:
        """Raise BadRequest for an adapter where the process runs on a node, which hasn't its files."""
        if request.adapter is not None and self.node is not None:
            raise BadRequest(
                f"The model runs on the node {self.node}, and adapters are used on the server's machine only. Deploy"
                " it there, without --on.",
                param="model",
            )

    async def _compute(self, command: Rate | Embed) -> Event:
        """Return what follows Started."""
        with await self._open(command.id) as events:
            try:
                self._send(command)
                while isinstance(event := await self._next(events), Started):
                    pass
            except asyncio.CancelledError:
                self._send(Abort(command.id))
                raise
        return event

    async def drain(self) -> None:
        """Let running requests finish, then let the process exit. Returns when it is gone; a stuck one is killed."""
        self._is_stopping = True
        self._send(Shutdown())
        if self.is_alive:
            self.watchdog.start()
        await asyncio.shield(self.lost)
        await self.wait()

    async def kill(self) -> None:
        """End the process now; its requests fail. Returns when it is gone."""
        self._is_stopping = True
        self._kill_process()
        await self.wait()

    async def wait(self) -> WorkerExit:
        """Wait until the process is gone. Returns how it ended."""
        if self._exit is None:
            self._exit = asyncio.create_task(self._worker.wait())
        return await asyncio.shield(self._exit)

    async def describe_exit(self) -> str:
        """Wait until the process is gone. Returns how it ended, as in "was killed by signal 9"."""
        how = await self.wait()
        if self.was_stuck:
            where = f" on the node {self.node}" if self.node else ""
            return f"gave no sign of life for {self.watchdog.silent_seconds:.3g} seconds{where} and was killed"
        return str(how)

    async def _open(self, request_id: str) -> AbstractContextManager[EventQueue]:
        """Return a context manager in which the request's events are collected.

        Raises Conflict if a request with this id is running, and ReplicaFailed or Unavailable if the process is gone.
        """
        if not self.is_alive:
            raise await self._lost_error()
        if request_id in self._requests:
            raise Conflict(f"A request with the id {request_id} is already running. Give every request its own id.")
        return _Collecting(self, request_id)

    def collect(self, request_id: str) -> EventQueue:
        """Collect the events of a request until it is forgotten."""
        events = self._requests[request_id] = EventQueue()
        self.watchdog.start()
        return events

    def forget(self, request_id: str) -> None:
        del self._requests[request_id]
        if not self._requests and not self._is_stopping:
            self.watchdog.pause()

    async def _next(self, events: EventQueue) -> Event:
        """Return a request's next event. Raises the error in which the request has ended."""
        event = await events.get()
        if event is None:
            raise await self._lost_error()
        if isinstance(event, Failed):
            raise event.error()
        return event

    def _send(self, command: Command) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._writer.pack(command))

    def _on_event(self, event: Event) -> None:
        match event:
            case EngineStats():
                self.load = event
            case Pong():
                self.watchdog.on_pong(event.step_seconds)
            case Loading():
                self._on_loading(event)
            case Ready():
                self._loaded.set_result(event)
            case LoadFailed():
                self._loaded.set_exception(event.error())
            case _:
                if isinstance(event, Started | Counted | Tokenized | Rated | Embedded | Failed):
                    self.watchdog.on_progress()
                # The last events of an aborted request have no queue any more.
                if events := self._requests.get(event.id):
                    events.put(event)

    def _on_connection_lost(self) -> None:
        """Fail everything that waits. The process has ended, or will be killed."""
        self.watchdog.pause()
        self.lost.set_result(None)
        for events in self._requests.values():
            events.put(None)
        if not self._loaded.done():
            self._loaded.set_result(None)
        # Reaped even if nobody asks for the exit status, so that no zombie stays behind.
        self._exit = self._exit or asyncio.create_task(self._worker.wait())

    def _kill_stuck(self) -> None:
        self.was_stuck = True
        self._kill_process()

    def _kill_process(self) -> None:
        self._worker.kill()
        if self._transport is not None:
            self._transport.abort()

    async def _lost_error(self) -> LLMOSError:
        if self._is_stopping:
            return Unavailable("The model is being stopped. Try again in a moment.", retry_after_seconds=1)
        how = await self.describe_exit()
        return ReplicaFailed(f"The model's process {how} while it worked on this request. Try again.")


class _Collecting:
    """Collects the events of a request while a block runs. Written out, since every call enters it."""

    __slots__ = ("_replica", "_request_id")

    def __init__(self, replica: Replica, request_id: str) -> None:
        self._replica, self._request_id = replica, request_id

    def __enter__(self) -> EventQueue:
        return self._replica.collect(self._request_id)

    def __exit__(self, *_: object) -> None:
        self._replica.forget(self._request_id)


class _Connection(asyncio.Protocol):
    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._frames: FrameReader[Frame] = FrameReader(Frame)
        self._on_event: Callable[[Event], None] = replica._on_event
        self._requests = replica._requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._replica._transport = GatheringTransport(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                for event in frame.events:
                    if type(event) is not Delta:
                        self._on_event(event)
                    elif (events := self._requests.get(event.id)) is not None:
                        events.put(event)  # Nearly all go this way.
        except msgspec.DecodeError as error:
            logger.error("A replica sent what is no message, and is ended: %s", error)
            transport = self._replica._transport
            if transport is not None:
                transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._replica._on_connection_lost()
