"""Agent: runs on a node. Registers at the head, starts the workers that it orders, and reports how they end.

    disconnected ── register ──▶ connected ── the connection ends ──▶ disconnected, after ending all workers
                                     │ Leave
                                     ▼
                                   gone

Idle, it waits for the network and does nothing.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from llmos.core.backoff import doubling
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import ConnectionFailed, LLMOSError, Unavailable
from llmos.core.store.store import Store
from llmos.deployments.cluster.authority import client_context, server_context
from llmos.deployments.cluster.blobs import BlobFetcher, send_blob
from llmos.deployments.cluster.head import HANDSHAKE_SECONDS, listen
from llmos.deployments.cluster.joining import Membership, connect
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.cluster.messages import (
    AskActivity,
    AskFacts,
    Attached,
    AttachStage,
    EndWorker,
    Facts,
    FetchBlob,
    Fetching,
    Leave,
    Refused,
    Register,
    Registered,
    StartWorker,
    ToHead,
    ToNode,
    WorkerActivity,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from llmos.deployments.cluster.node_renewal import renew_node
from llmos.deployments.cluster.node_worker import NodeWorker
from llmos.deployments.cluster.renewal import CHECK_SECONDS, check_not_expired
from llmos.deployments.cluster.versions import own_facts, own_versions
from llmos.deployments.placing.local import WORKER_COMMAND

PROGRESS_SECONDS = 0.5

_MAX_DIGESTS = 20_000
"""Files that a node tells the head of."""

_log = logging.getLogger(__name__)


def default_backoff_seconds(num_failures: int) -> float:
    """Return the pause before the next attempt to connect: 0.5, 1, 2, 4, 5, 5, ... seconds."""
    return doubling(num_failures, first=0.5, longest=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The settings of a node."""

    folder: Path
    """The folder of the node's certificate."""
    membership: Membership
    store: Store
    packed_folder: Path | None = None
    """The folder of packed weights that all its replicas share; None: each replica has its own."""
    labels: Mapping[str, str] = field(default_factory=dict)
    listen: str = "0.0.0.0"  # noqa: S104 (TLS with certificates of the cluster only)
    """The address at which other nodes fetch files."""
    command: Sequence[str] = WORKER_COMMAND
    clock: Clock = utc_now
    backoff_seconds: Callable[[int], float] = default_backoff_seconds
    say: Callable[[str], None] = lambda sentence: None
    """Called with what the node's owner wants to know."""


class Agent:
    """Belongs to the event loop's thread."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        membership = settings.membership
        self._head = (membership.host, membership.port)
        self._client = client_context(settings.folder, "node")
        self._blobs = server_context(settings.folder, "node", requires_certificate=True)
        self._fetcher = BlobFetcher(store=settings.store, context=self._client, head=self._head)
        self._workers: dict[str, NodeWorker] = {}
        self._starting: dict[str, tuple[asyncio.Task[None], threading.Event]] = {}
        self._link: Link[ToNode] | None = None
        self._blob_tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled, or until the node has left the cluster.

        Raises PermissionDenied if it is no member any more, and Conflict for versions or a clock that differ.
        """
        server = await self._serve_blobs()
        renewing = asyncio.create_task(self._keep_renewed())
        num_failures = 0
        try:
            while True:
                try:
                    link = await self._register(server.sockets[0].getsockname()[1])
                    self._settings.say(f"Connected to {self._head[0]}:{self._head[1]}.")
                    num_failures = 0
                    if await self._take_orders(link):
                        return
                    self._settings.say("The connection to the head has ended. Connecting again …")
                except ConnectionFailed as error:
                    if not num_failures:
                        self._settings.say(f"{error.message} Trying again …")
                num_failures += 1
                await asyncio.sleep(self._settings.backoff_seconds(num_failures))
        finally:
            server.close()
            renewing.cancel()
            for task in self._blob_tasks:
                task.cancel()

    async def _keep_renewed(self) -> None:
        settings, contexts = self._settings, (self._client, self._blobs)
        while True:
            try:
                if await renew_node(settings.folder, settings.membership, contexts, clock=settings.clock):
                    settings.say("The certificate of this node was renewed.")
            except (LLMOSError, OSError) as error:
                _log.warning("The certificate can't be renewed. Trying again in an hour: %s", error)
            await asyncio.sleep(CHECK_SECONDS)

    async def _register(self, blobs_port: int) -> Link[ToNode]:
        """Return a connection on which orders come. Raises what connect() raises, and what the head says."""
        settings = self._settings
        await asyncio.to_thread(check_not_expired, settings.folder, settings.clock)
        link = await connect(self._head, self._client)
        digests = await asyncio.to_thread(lambda: [digest for digest, _ in settings.store.digests()][:_MAX_DIGESTS])
        register = Register(
            versions=await asyncio.to_thread(own_versions),
            facts=await asyncio.to_thread(own_facts),
            labels=dict(settings.labels),
            blobs_port=blobs_port,
            digests=digests,
            time=settings.clock().timestamp(),
        )
        link.send(register)
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                reply = await link.receive()
        except (LinkClosed, TimeoutError) as error:
            link.close()
            raise ConnectionFailed(f"The head has closed the connection: {error or 'no reply'}.") from None
        if isinstance(reply, Refused):
            link.close()
            raise reply.error()
        assert isinstance(reply, Registered), "the head answers Register with nothing else"
        return link

    async def _take_orders(self, link: Link[ToNode]) -> bool:
        """Do what the head says until the connection ends. Returns True if the node has left the cluster."""
        self._link = link
        try:
            while True:
                match message := await link.receive():
                    case StartWorker():
                        stop = threading.Event()
                        self._starting[message.worker] = asyncio.create_task(self._start(link, message, stop)), stop
                    case EndWorker():
                        self._end(message.worker)
                    case AskActivity():
                        worker = self._workers.get(message.worker)
                        link.send(WorkerActivity(message.worker, worker is not None and worker.has_computed()))
                    case AskFacts():
                        link.send(Facts(own_facts()))
                    case Leave():
                        return True
                    case _:
                        _log.warning("The head sent what is no order: %s", type(message).__name__)
        except LinkClosed:
            return False
        finally:
            # Their answers would reach nobody.
            link.close()
            self._link = None
            for id in [*self._starting, *self._workers]:
                self._end(id)
            await asyncio.gather(*(worker.wait() for worker in [*self._workers.values()]), return_exceptions=True)

    def _end(self, id: str) -> None:
        if starting := self._starting.get(id):
            starting[1].set()
            starting[0].cancel()
        if worker := self._workers.get(id):
            worker.end()

    async def _start(self, link: Link[ToNode], order: StartWorker, stop: threading.Event) -> None:
        worker = None
        try:
            num_bytes = await self._fetch(link, order, stop)
            command = [*self._settings.command, *(["--stage"] if order.is_stage else [])]
            worker = NodeWorker(order.worker, command, self._on_end, order.stages, is_stage=order.is_stage)
            self._workers[order.worker] = worker
            link.send(self._describe(order, worker, num_bytes))
            if not order.is_stage:  # The home of a stage attaches to it, or the head ends it.
                await worker.attach_stages(self._client)
                await worker.attach(self._head, self._client)
        except LLMOSError as error:
            link.send(WorkerRefused(order.worker, error.code, error.message))
        except (OSError, LinkClosed) as error:
            message = f"The worker can't be started on this node: {error}"
            link.send(WorkerRefused(order.worker, Unavailable.code, message))
        else:
            return
        finally:
            self._starting.pop(order.worker, None)
        if worker is not None:
            worker.end()

    async def _fetch(self, link: Link[ToNode], order: StartWorker, stop: threading.Event) -> int:
        num_total, num_done, sent_at = sum(file.size for file in order.files), 0, time.monotonic()
        loop = asyncio.get_running_loop()

        def on_bytes(num_bytes: int) -> None:
            nonlocal num_done, sent_at
            num_done += num_bytes
            if time.monotonic() - sent_at >= PROGRESS_SECONDS:
                sent_at = time.monotonic()
                loop.call_soon_threadsafe(link.send, Fetching(order.worker, num_done, num_total))

        return await asyncio.to_thread(self._fetcher.fetch, order.version, order.files, order.sources, on_bytes, stop)

    def _describe(self, order: StartWorker, worker: NodeWorker, num_bytes: int) -> WorkerStarted:
        store, packed = self._settings.store, self._settings.packed_folder
        return WorkerStarted(
            worker=order.worker,
            pid=worker.pid,
            paths={file.name: str(store.blob_path(file.digest).absolute()) for file in order.files},
            packed_folder=None if packed is None else str(packed.absolute()),
            num_fetched_bytes=num_bytes,
        )

    def _on_end(self, worker: NodeWorker, status: int, last_words: str) -> None:
        self._workers.pop(worker.id, None)
        if self._link is not None:
            self._link.send(WorkerEnded(worker.id, status, last_words))

    async def _serve_blobs(self) -> asyncio.Server:
        """Listen for other nodes that want files, or a stage."""
        return await asyncio.get_running_loop().create_server(
            lambda: Link[ToHead](ToHead, self._on_connected),
            sock=listen(self._settings.listen, 0),
            ssl=self._blobs,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )

    def _on_connected(self, link: Link[ToHead]) -> None:
        task = asyncio.create_task(self._serve(link))
        self._blob_tasks.add(task)
        task.add_done_callback(self._blob_tasks.discard)

    async def _serve(self, link: Link[ToHead]) -> None:
        with suppress(LinkClosed, TimeoutError):
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                asked = await link.receive()
            if isinstance(asked, FetchBlob):
                await send_blob(link, self._settings.store, asked)
            elif isinstance(asked, AttachStage):
                worker = self._workers.get(asked.worker)
                if worker is not None and worker.is_stage and not worker.is_attached:
                    link.send(Attached())
                    await worker.serve(link)
                    return
        link.close()
