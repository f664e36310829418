"""A replica: one engine in a process of its own, which talks to its parent over a socket that the parent made.

    main thread    reads commands, encodes prompts ------ inbox ------> step thread    steps, sends one frame a step
                      `---> grammar thread    compiles grammars ---^

All threads block while they have nothing to do, so an idle replica uses no CPU. A forward pass releases the GIL, so
prompts are encoded meanwhile. The replica exits when the socket closes, which it does when the parent exits.

A Ping takes the path of a request, through both threads, so that a replica that is stuck anywhere on it can't answer.
No third thread answers for them.
"""

import argparse
import logging
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from llmos.core.encryption.sealed_path import join_keys
from llmos.core.errors import LLMOSError, Unavailable
from llmos.core.progress import Progress
from llmos.engine.config import EngineConfig
from llmos.engine.embedding import EmbeddingEngine
from llmos.engine.embedding_request import PreparedTexts
from llmos.engine.engine import Engine
from llmos.engine.messages import (
    Abort,
    Command,
    Count,
    Counted,
    Embed,
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
    Rate,
    Ready,
    Shutdown,
    Started,
    Tokenize,
    Tokenized,
)
from llmos.engine.replica.framing import FrameReader, FrameWriter
from llmos.engine.replica.outbox import Outbox
from llmos.engine.replica.pace import Pace
from llmos.engine.request import Prepared
from llmos.engine.runner import StageLost
from llmos.engine.stages import StageOrder

P = TypeVar("P", bound=Prepared | PreparedTexts)


class ServingEngine(Protocol[P]):
    """The interface of an Engine or an EmbeddingEngine that a replica uses."""

    num_computed_tokens: int

    @property
    def has_work(self) -> bool: ...
    def prepare(self, request: Generate | Rate | Embed) -> P: ...
    def count(self, request: Generate) -> Counted: ...
    def tokenize(self, command: Tokenize) -> Tokenized: ...
    def admit(self, prepared: P) -> Started: ...
    def abort(self, request_id: str) -> None: ...
    def step(self) -> list[Event]: ...
    def load(self) -> EngineStats: ...


EngineFactory = Callable[
    [Mapping[str, Path], EngineConfig, Progress, Sequence[StageOrder]], tuple[Engine | EmbeddingEngine, Ready]
]

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.1
"""Shortest time between two progress messages."""

T = TypeVar("T")
R = TypeVar("R", bound=Generate | Rate | Embed | Tokenize)


def main(load: EngineFactory, arguments: list[str] | None = None) -> int:
    """Serve the model that the first frame names; return the exit status.

    Ends when the parent closes the socket, or after SIGTERM when the last answer is complete.
    """
    # While a prompt is encoded, a step gets the GIL back after this time. Python's default of 5 ms is as long as a
    # whole step of a small model.
    sys.setswitchinterval(0.0005)
    parser = argparse.ArgumentParser(description="Serve one model to the parent process.")
    parser.add_argument("--fd", type=int, required=True, help="file descriptor of the socket to the parent")
    parser.add_argument("--stage", action="store_true", help="serve a stage of a split model, to the home of it")
    parser.add_argument(
        "--stage-fd", type=int, action="append", default=[], help="file descriptor of the socket to a stage"
    )
    parsed = parser.parse_args(arguments)
    connection = _open(parsed.fd)
    with connection:
        if parsed.stage:
            from llmos.engine.replica.stage_worker import main as serve_stage

            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Home drains its requests; a stage ends with it.
            return serve_stage(connection)
        return _serve(connection, load, [_open(fd) for fd in parsed.stage_fd])


def _open(fd: int) -> socket.socket:
    connection = socket.socket(fileno=fd)
    connection.set_inheritable(False)
    return connection


def _serve(connection: socket.socket, load: EngineFactory, to_stages: Sequence[socket.socket]) -> int:
    commands: FrameReader[Command] = FrameReader(Command)
    pending: deque[Command] = deque()
    while not pending:
        data = connection.recv(1 << 16)
        if not data:
            return 0
        pending.extend(commands.feed(data))
    model = pending.popleft()
    assert isinstance(model, LoadModel), "the first frame is LoadModel"
    writer = FrameWriter()
    try:
        config = EngineConfig.from_options(model.config)
        stages = [StageOrder(each, order) for each, order in zip(to_stages, model.stages, strict=True)]
        engine, ready = load(join_keys(model.files, model.keys), config, _progress_sender(connection, writer), stages)
    except LLMOSError as error:
        return _refuse(connection, writer, LoadFailed(error.code, error.message))
    except StageLost as lost:
        return _refuse(connection, writer, LoadFailed(Unavailable.code, str(lost)))
    except Exception as error:
        logger.exception("The model could not be loaded.")
        message = f"The model could not be loaded: {type(error).__name__}: {error}"
        return _refuse(connection, writer, LoadFailed(LLMOSError.code, message))
    worker: Worker[Any] = Worker(connection, engine, Pace(config.max_batched_tokens))
    signal.signal(signal.SIGTERM, lambda *_: worker.drain())
    try:
        connection.sendall(writer.pack(Frame([ready])))
    except ConnectionError:
        return 0  # the parent exited while the model was loaded
    return worker.serve(commands, pending)


def _progress_sender(connection: socket.socket, writer: FrameWriter) -> Progress:
    """Return a callback that sends the parent the progress of loading."""
    started_at = sent_at = time.monotonic()

    def send(label: str, num_done: int, num_total: int | None) -> None:
        nonlocal sent_at
        now = time.monotonic()
        if not num_done or not num_total or now - sent_at < PROGRESS_SECONDS:
            return
        sent_at = now
        left = (now - started_at) * (num_total - num_done) / num_done
        with suppress(ConnectionError):  # the next message that must arrive will raise it again
            loading = Loading(percent=round(100 * num_done / num_total, 1), seconds_left=round(left, 1))
            connection.sendall(writer.pack(Frame([loading])))

    return send


def _refuse(connection: socket.socket, writer: FrameWriter, reason: LoadFailed) -> int:
    with suppress(ConnectionError):
        connection.sendall(writer.pack(Frame([reason])))
    return 1


class Worker(Generic[P]):
    """Runs an engine for the parent on the other end of the connection."""

    def __init__(self, connection: socket.socket, engine: ServingEngine[P], pace: Pace) -> None:
        self._connection = connection
        self._engine = engine
        self._pace = pace
        self._outbox = Outbox(time.monotonic)
        self._writer = FrameWriter()
        self._inbox: deque[P | Counted | Tokenized | Failed | Abort | Ping] = deque()
        # Its lock is reentrant by default, which drain() needs: a signal may interrupt the thread that holds it.
        self._changed = threading.Condition()
        self._grammar_thread = ThreadPoolExecutor(1, "grammar")
        self._preparing: dict[str, bool] = {}
        """Ids of the requests on the grammar thread; False for those that were aborted meanwhile."""
        self._draining = False
        self._parent_gone = False
        self._failed = False

    def serve(self, commands: FrameReader[Command], pending: deque[Command]) -> int:
        """Read commands until the socket closes, and step in a second thread; return the exit status."""
        stepping = threading.Thread(target=self._step_until_done, name="step")
        stepping.start()
        try:
            for command in pending:
                self._take(command)
            while data := self._receive():
                for command in commands.feed(data):
                    self._take(command)
        finally:
            with self._changed:
                self._parent_gone = True
                self._changed.notify()
            stepping.join()
            self._grammar_thread.shutdown(wait=False, cancel_futures=True)
        return int(self._failed)

    def drain(self) -> None:
        """Accept no more requests, and exit when the accepted ones have ended."""
        with self._changed:
            self._draining = True
            self._changed.notify()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(1 << 16)
        except ConnectionError:
            return b""

    def _take(self, command: Command) -> None:
        match command:
            case Generate() if command.grammar is not None or command.tools is not None:
                # Compiling a grammar may take seconds, which must not delay other requests.
                with self._changed:
                    self._preparing[command.id] = True
                self._grammar_thread.submit(self._prepare_aside, command)
            case Generate() | Rate() | Embed():
                self._put(self._prepare(command, self._engine.prepare))
            case Count():
                self._put(self._prepare(command.request, self._engine.count))
            case Tokenize():
                self._put(self._prepare(command, self._engine.tokenize))
            case Abort():
                self._abort(command)
            case Ping():
                self._put(command)
            case Shutdown():
                self.drain()
            case LoadModel():
                logger.error("A replica loads one model only; the second LoadModel was ignored.")

    def _prepare(self, request: R, prepare: Callable[[R], T]) -> T | Failed:
        try:
            if self._draining:
                raise Unavailable("The model is being stopped. Try again in a moment.")
            return prepare(request)
        except LLMOSError as error:
            return _failed(request.id, error)
        except Exception:
            logger.exception("Request %s could not be prepared.", request.id)
            return Failed(request.id, LLMOSError.code, "The request could not be prepared.")

    def _prepare_aside(self, request: Generate) -> None:
        with self._changed:
            is_live = self._preparing[request.id]
        prepared = self._prepare(request, self._engine.prepare) if is_live else None
        with self._changed:
            if self._preparing.pop(request.id) and prepared is not None:
                self._inbox.append(prepared)
            self._changed.notify()

    def _abort(self, abort: Abort) -> None:
        with self._changed:
            if abort.id in self._preparing:
                self._preparing[abort.id] = False
            else:
                self._inbox.append(abort)
                self._changed.notify()

    def _put(self, item: P | Counted | Tokenized | Failed | Abort | Ping) -> None:
        with self._changed:
            self._inbox.append(item)
            self._changed.notify()

    def _step_until_done(self) -> None:
        try:
            self._step()
        except ConnectionError:
            pass  # the parent has exited
        except BaseException:
            self._failed = True
            raise
        finally:
            # This wakes the main thread, which blocks in recv().
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _step(self) -> None:
        engine = self._engine
        last_load = engine.load()
        while self._wait():
            events = self._process_inbox()
            if engine.has_work:
                started_at, num_before = time.perf_counter(), engine.num_computed_tokens
                events += engine.step()
                self._pace.record(time.perf_counter() - started_at, engine.num_computed_tokens - num_before)
            load = engine.load()
            if load != last_load:
                last_load = load
                events.append(load)
            if frame := self._outbox.add(events, is_last=not engine.has_work):
                self._connection.sendall(self._writer.pack(Frame(frame)))

    def _wait(self) -> bool:
        """Block until there is something to do; return False to exit."""
        with self._changed:
            while not (self._parent_gone or self._inbox or self._engine.has_work):
                if self._draining and not self._preparing:
                    return False
                self._changed.wait()
            return not self._parent_gone

    def _process_inbox(self) -> list[Event]:
        events: list[Event] = []
        while self._inbox:
            match self._inbox.popleft():
                case Abort(id=id):
                    self._engine.abort(id)
                    self._outbox.forget(id)
                case Counted() | Tokenized() | Failed() as event:
                    events.append(event)
                case Ping():
                    events.append(Pong(self._pace.step_seconds))
                case prepared:
                    events.append(self._admit(prepared))
        return events

    def _admit(self, prepared: P) -> Event:
        try:
            return self._engine.admit(prepared)
        except LLMOSError as error:
            return _failed(prepared.id, error)
        except Exception:
            logger.exception("Request %s could not be admitted.", prepared.id)
            return Failed(prepared.id, LLMOSError.code, "The request could not be admitted.")


def _failed(request_id: str, error: LLMOSError) -> Failed:
    return Failed(request_id, error.code, error.message, error.param)
