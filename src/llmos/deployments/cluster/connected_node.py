"""ConnectedNode: the head's end of the connection to an agent, and the workers that run there.

A node whose connection is lost is gone: its workers are ended by their agent, and by us. It registers again by itself.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmos.core.errors import LLMOSError, ReplicaFailed, Unavailable
from llmos.core.hardware import Hardware
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.cluster.messages import (
    AskActivity,
    AskFacts,
    BlobSource,
    EndWorker,
    Facts,
    Fetching,
    File,
    Leave,
    NodeFacts,
    Register,
    StagePeer,
    StartWorker,
    ToHead,
    WorkerActivity,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from llmos.deployments.placing.placer import ReplicaSettings, WorkerExit
from llmos.engine.messages import LoadModel, LoadStage

FACTS_SECONDS = 2.0
"""A node that doesn't answer within this time is taken for one that can't."""

ANSWER_SECONDS = 5.0
"""Interval at which a node that starts a worker is asked whether it still answers."""

ATTACH_SECONDS = 10.0
"""Time for a worker's own connection, once it has started."""

REPORT_SECONDS = 1.5
"""Time for the report of how a worker has ended, once its connection is lost."""


@dataclass(slots=True)
class _Starting:
    started: "asyncio.Future[WorkerStarted]"
    attached: "asyncio.Future[Link[ToHead]]"
    on_progress: Callable[[int, int], None]
    ended: WorkerExit | None = None
    """The exit of the worker, if it ended before it could be used."""


@dataclass(slots=True, eq=False)
class Reservation:
    """Room on a node for a replica, from when the node is chosen until its worker has ended."""

    version: str
    settings: ReplicaSettings
    need_bytes: int = 0
    on_release: Callable[[], None] = field(default=lambda: None)
    warning: Callable[[], str | None] = field(default=lambda: None)
    """Returns what is wrong with the room, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrder:
    """A worker that a node is asked to start."""

    reservation: Reservation
    files: Sequence[File]
    config: dict[str, Any]
    """Options of its EngineConfig."""
    sources: dict[str, Sequence[BlobSource]]
    on_progress: Callable[[int, int], None] = field(default=lambda num_done, num_total: None)
    """Called with the bytes that have arrived on the node, and all that are to."""
    is_stage: bool = False
    """It serves a stage of a split model."""
    stages: "Sequence[RemoteStage]" = ()
    """It is the home of a split model, with these stages on other nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStage:
    """A worker that serves a stage, as its home is told of it."""

    worker: "RemoteWorker"
    peer: StagePeer
    load: LoadStage


class ConnectedNode:
    """Belongs to the event loop's thread."""

    def __init__(self, name: str, link: Link[ToHead], registered: Register, since: datetime) -> None:
        self.name, self.address, self.since = name, link.peer, since
        self.labels, self.facts = dict(registered.labels), registered.facts
        self.blobs_port, self.digests = registered.blobs_port, set(registered.digests)
        self.round_trip_seconds: float | None = None
        """The round-trip time of the last request for the node's facts."""
        self.workers: dict[str, RemoteWorker] = {}
        self.reservations: list[Reservation] = []
        """The memory reservations of its workers, including those that are being started."""
        self.is_leaving = False
        """It gets no new replicas."""
        self._link = link
        self._starting: dict[str, _Starting] = {}
        self._facts: asyncio.Future[NodeFacts] | None = None

    @property
    def is_connected(self) -> bool:
        return not self._link.closed.done()

    @property
    def hardware(self) -> Hardware:
        facts = self.facts
        return Hardware(
            cpu=facts.cpu,
            features=frozenset(facts.features),
            num_cores=facts.num_cores,
            memory_bytes=facts.memory_bytes,
            available_bytes=self.free_bytes,
        )

    @property
    def free_bytes(self) -> int:
        """Memory that a further replica may take. KV caches fill later, so those that run count with all they need."""
        promised = sum(each.need_bytes for each in self.reservations)
        return max(0, min(self.facts.available_bytes, self.facts.memory_bytes - promised))

    async def run(self) -> None:
        """Take the agent's messages until the connection ends."""
        try:
            while True:
                self._take(await self._link.receive())
        except LinkClosed:
            pass
        finally:
            self._lose()

    async def ask_facts(self) -> bool:
        """Ask for its free memory, and measure the link. Return whether it answers: an agent that is stopped, or a
        link that was just cut, leaves the connection as it is."""
        if self._facts is None:
            self._facts = asyncio.get_running_loop().create_future()
            self._link.send(AskFacts())
        began = time.perf_counter()
        try:
            async with asyncio.timeout(FACTS_SECONDS):
                await asyncio.shield(self._facts)
        except TimeoutError:
            self._facts = self.round_trip_seconds = None
            return False
        self.round_trip_seconds = time.perf_counter() - began
        return True

    async def start_worker(self, order: WorkerOrder) -> "RemoteWorker":
        """Start a worker there, which fetches what it lacks first. Raises what the agent says, or Unavailable."""
        id, loop = secrets.token_hex(8), asyncio.get_running_loop()
        starting = self._starting[id] = _Starting(loop.create_future(), loop.create_future(), order.on_progress)
        self._link.send(
            StartWorker(
                worker=id,
                version=order.reservation.version,
                files=order.files,
                sources=order.sources,
                is_stage=order.is_stage,
                stages=[each.peer for each in order.stages],
            )
        )
        connection = None
        try:
            started = await self._until_started(starting)
            if not order.is_stage:
                async with asyncio.timeout(ATTACH_SECONDS):
                    connection = await starting.attached
        except BaseException as error:
            # Also when the caller is cancelled: nobody waits for the worker.
            self._link.send(EndWorker(id))
            if isinstance(error, TimeoutError):
                raise Unavailable(f"The worker on the node {self.name} didn't connect in time.") from None
            raise
        finally:
            del self._starting[id]
        self.digests.update(file.digest for file in order.files)
        packed_folder = started.packed_folder if order.config.get("packed_folder") else None
        config = order.config | {"packed_folder": packed_folder}
        command = LoadModel(files=started.paths, config=config, stages=[each.load for each in order.stages])
        worker = RemoteWorker(self, id, started, connection, command, order.reservation)
        worker.stages = [each.worker for each in order.stages]
        self.workers[id] = worker
        if starting.ended is not None:
            worker.on_end(starting.ended)
        return worker

    async def _until_started(self, starting: _Starting) -> WorkerStarted:
        """Wait however long the files take, but only while the agent answers."""
        while not starting.started.done():
            await asyncio.wait([starting.started], timeout=ANSWER_SECONDS)
            if not starting.started.done() and not await self.ask_facts():
                raise Unavailable(f"The node {self.name} doesn't answer.")
        return starting.started.result()

    def release(self, reservation: Reservation) -> None:
        """Give the room back. It may have been given back before."""
        if reservation in self.reservations:
            self.reservations.remove(reservation)
            reservation.on_release()

    def attach(self, id: str, connection: Link[ToHead]) -> bool:
        """Take the connection of a worker. Returns False for one that nobody waits for."""
        starting = self._starting.get(id)
        if starting is None or starting.attached.done():
            return False
        starting.attached.set_result(connection)
        return True

    def send(self, message: Any) -> None:
        self._link.send(message)

    def leave(self) -> None:
        """Tell the agent that it is no member any more, and close the connection."""
        self._link.send(Leave())
        self._link.close()

    def close(self) -> None:
        self._link.abort()

    async def wait_closed(self) -> None:
        await asyncio.shield(self._link.closed)

    def _take(self, message: ToHead) -> None:
        match message:
            case Facts():
                self.facts = message.facts
                if self._facts is not None and not self._facts.done():
                    self._facts.set_result(message.facts)
                self._facts = None
            case WorkerStarted():
                if (starting := self._starting.get(message.worker)) and not starting.started.done():
                    starting.started.set_result(message)
            case Fetching():
                if starting := self._starting.get(message.worker):
                    starting.on_progress(message.num_done, message.num_total)
            case WorkerRefused():
                self._fail(self._starting.get(message.worker), message.error())
            case WorkerEnded():
                self._on_worker_ended(message)
            case WorkerActivity():
                if worker := self.workers.get(message.worker):
                    worker.on_activity(message.has_computed)
            case _:
                self._link.close("the node sent what an agent doesn't send")

    def _on_worker_ended(self, message: WorkerEnded) -> None:
        how = WorkerExit(status=message.status, node=self.name, last_words=message.last_words)
        if starting := self._starting.get(message.worker):
            starting.ended = how
            self._fail(starting, ReplicaFailed(f"The model's process {how} while it was started."))
        if worker := self.workers.get(message.worker):
            worker.on_end(how)

    def _fail(self, starting: _Starting | None, error: LLMOSError) -> None:
        for future in (starting.started, starting.attached) if starting else ():
            if not future.done():
                future.set_exception(error)
                future.exception()  # Marked as seen: the caller may wait for the other one.

    def _lose(self) -> None:
        for starting in [*self._starting.values()]:
            self._fail(starting, Unavailable(f"The connection to the node {self.name} has ended."))
        for worker in [*self.workers.values()]:
            worker.on_node_lost()


class RemoteWorker:
    """A worker process on a node. See WorkerProcess."""

    def __init__(
        self,
        node: ConnectedNode,
        id: str,
        started: WorkerStarted,
        connection: Link[ToHead] | None,
        command: LoadModel,
        reservation: Reservation,
    ) -> None:
        """`connection`: None for a stage, whose frames go to its home."""
        self.pid, self.command, self.id = started.pid, command, id
        self.stages: Sequence[RemoteWorker] = ()
        """The stages of a split model that it is the home of."""
        self.node: str | None = node.name
        self.num_fetched_bytes = started.num_fetched_bytes
        self.reservation = reservation
        self._node, self._id, self._connection = node, id, connection
        self._has_computed = True
        self._ended: asyncio.Future[WorkerExit] = asyncio.get_running_loop().create_future()

    @property
    def warning(self) -> str | None:
        return self.reservation.warning()

    def as_stage(self, node: str, first: int, last: int) -> RemoteStage:
        """Return what the home of a split model needs to know of this worker, which serves these layers."""
        return RemoteStage(
            worker=self,
            peer=StagePeer(node, self._node.address, self._node.blobs_port, self.id),
            load=LoadStage(node=node, first=first, last=last, files=self.command.files, config=self.command.config),
        )

    async def connect(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        assert self._connection is not None, "a stage is attached to its home"
        self._connection.hand_over(make_protocol())

    def has_computed(self) -> bool:
        """Return what the node has said since the last call, and ask again. A node that says nothing computes
        nothing. Home waits while a stage computes."""
        self._node.send(AskActivity(self._id))
        has_computed, self._has_computed = self._has_computed, False
        return any([has_computed, *(stage.has_computed() for stage in self.stages)])

    def kill(self) -> None:
        self._node.send(EndWorker(self._id))

    async def wait(self) -> WorkerExit:
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                return await asyncio.shield(self._ended)
        except TimeoutError:
            self.kill()
            self.on_end(WorkerExit(status=None, node=self.node))
            return self._ended.result()

    def on_activity(self, has_computed: bool) -> None:
        self._has_computed = self._has_computed or has_computed

    def on_end(self, how: WorkerExit) -> None:
        self._node.release(self.reservation)
        self._node.workers.pop(self._id, None)
        for stage in self.stages:
            stage.kill()
        if not self._ended.done():
            self._ended.set_result(how)

    def on_node_lost(self) -> None:
        if self._connection is not None:
            self._connection.abort()
        self.on_end(WorkerExit(status=None, node=self.node))
