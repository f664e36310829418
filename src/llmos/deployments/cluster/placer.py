"""ClusterPlacer: starts a replica on this machine or on a node, as its version is deployed.

Of the nodes that it may run on, those with the fewest replicas of its version come first, then those with the fewest
replicas, then those with the most free memory. A node that can't start it is passed over for the next.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llmos.core.encryption.sealed_path import is_any_sealed
from llmos.core.errors import (
    BadRequest,
    DownloadFailed,
    InsufficientMemory,
    LLMOSError,
    NoNode,
    StoreFailed,
    Unavailable,
)
from llmos.core.store.store import Store
from llmos.deployments.cluster.connected_node import (
    ConnectedNode,
    RemoteStage,
    RemoteWorker,
    Reservation,
    WorkerOrder,
)
from llmos.deployments.cluster.head import ClusterHead, connected
from llmos.deployments.cluster.messages import RAY, STARTED_BY, BlobSource, File
from llmos.deployments.cluster.splitting import choose_parts
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import PlacementRequest, Placer, WorkerProcess
from llmos.deployments.placing.split_placement import SplitPlacement, is_split, parse_split

_log = logging.getLogger(__name__)

ALL_NODES = "nodes"

MAX_SOURCES = 2
"""Nodes that a file is fetched from before the head is asked."""


class ClusterPlacer:
    def __init__(self, head: ClusterHead, store: Store, local: Placer | None = None) -> None:
        self._head, self._store, self._local = head, store, local or LocalPlacer()

    async def place(self, request: PlacementRequest) -> WorkerProcess:
        placement = request.settings.placement
        if placement is None:
            return await self._local.place(request)
        files = await self.files_of(request)
        if is_split(placement):
            return await self._place_split(request, parse_split(placement), files)
        return await self._place(request, placement, files)

    async def _place_split(
        self, request: PlacementRequest, wanted: SplitPlacement, files: Sequence[File]
    ) -> RemoteWorker:
        """Start the stages, then their home, which attaches to them."""
        there = [node for node in connected(self._head) if is_meant(node, ALL_NODES)]
        answers = await asyncio.gather(*(node.ask_facts() for node in there))
        nodes = {node.name: node for node, is_there in zip(there, answers, strict=True) if is_there}
        hardware = {name: node.hardware for name, node in nodes.items()}
        config = request.settings.config
        chosen = await asyncio.to_thread(choose_parts, request.version, request.files, config, hardware, wanted)
        stages: list[RemoteStage] = []
        started: list[tuple[ConnectedNode, Reservation]] = []
        try:
            for part, need_bytes in reversed(chosen):
                node, is_home = nodes[part.node], part.first == 0
                reservation = Reservation(request.version, request.settings, need_bytes)
                node.reservations.append(reservation)
                started.append((node, reservation))
                order = WorkerOrder(
                    reservation=reservation,
                    files=files,
                    config=asdict(config),
                    sources={file.digest: self._sources(file.digest, node) for file in files},
                    on_progress=request.on_fetching,
                    is_stage=not is_home,
                    stages=stages if is_home else (),
                )
                worker = await node.start_worker(order)
                stages.insert(0, worker.as_stage(node.name, part.first, part.last))
            worker.node = ",".join(str(part) for part, _ in chosen)
            return worker
        except BaseException:
            for stage in stages:
                stage.worker.kill()
            for node, reservation in started:
                node.release(reservation)
            raise

    async def _place(self, request: PlacementRequest, placement: str, files: Sequence[File]) -> RemoteWorker:
        nodes = [node for node in connected(self._head) if is_meant(node, placement)]
        if not nodes:
            raise NoNode(self._nobody(placement))
        answers = await asyncio.gather(*(node.ask_facts() for node in nodes))
        refusals = [
            f"{node.name}: it doesn't answer." for node, is_there in zip(nodes, answers, strict=True) if not is_there
        ]
        nodes = [node for node, is_there in zip(nodes, answers, strict=True) if is_there]
        while nodes:
            # Replicas that are placed at the same time see each other's reservations.
            node = min(nodes, key=lambda node: _preference(node, request))
            nodes.remove(node)
            node.reservations.append(reservation := Reservation(request.version, request.settings))
            try:
                return await self._start(node, request, files, reservation)
            except (InsufficientMemory, StoreFailed, DownloadFailed, Unavailable) as error:
                node.release(reservation)
                refusals.append(f"{node.name}: {error.message}")
                _log.warning("The node %s can't run %s: %s", node.name, request.version, error.message)
            except BaseException:
                node.release(reservation)
                raise
        raise NoNode(f"No node has room for a replica of {request.version}. {' '.join(refusals)}")

    async def files_of(self, request: PlacementRequest) -> Sequence[File]:
        """Return the files that a node needs. Raises BadRequest for those that can't be sent."""
        if is_any_sealed(request.files):
            raise BadRequest(
                f"{request.version} is encrypted, and its files leave this machine in no form. Deploy it here, without"
                " --on and --split.",
                param="placement",
            )
        return await asyncio.to_thread(_files_of, request, self._store)

    async def _start(
        self, node: ConnectedNode, request: PlacementRequest, files: Sequence[File], reservation: Reservation
    ) -> RemoteWorker:
        config = asdict(request.settings.config)
        if config["threads"] is None:
            num_nodes = sum(is_meant(each, request.settings.placement or ALL_NODES) for each in connected(self._head))
            each = -(-request.settings.max_replicas // max(1, num_nodes))
            config["threads"] = max(1, node.facts.num_cores // each)
        return await self.start_on(node, request, files, reservation, config)

    async def start_on(
        self,
        node: ConnectedNode,
        request: PlacementRequest,
        files: Sequence[File],
        reservation: Reservation,
        config: Mapping[str, Any],
    ) -> RemoteWorker:
        """Start a worker on this node. Raises InsufficientMemory, and what ConnectedNode.start_worker() raises."""
        reservation.need_bytes = await asyncio.to_thread(_need_bytes, node, request)
        order = WorkerOrder(
            reservation=reservation,
            files=files,
            config=dict(config),
            sources={file.digest: self._sources(file.digest, node) for file in files},
            on_progress=request.on_fetching,
        )
        return await node.start_worker(order)

    def _sources(self, digest: str, but: ConnectedNode) -> Sequence[BlobSource]:
        nodes = [node for node in connected(self._head) if digest in node.digests and node is not but]
        return [BlobSource(node.name, node.address, node.blobs_port) for node in nodes[:MAX_SOURCES]]

    def _nobody(self, placement: str) -> str:
        """Return why no node is meant, in sentences."""
        if self._head.problem is not None:
            return f"No node can connect: {self._head.problem}"
        here = ", ".join(node.name for node in connected(self._head)) or "none"
        meant = "No node is connected" if placement == ALL_NODES else f"No connected node is {placement}"
        return f"{meant}; connected: {here}. See: llmos cluster nodes"


def _preference(node: ConnectedNode, request: PlacementRequest) -> tuple[int, int, int, str]:
    """Sort key: the node that gets the replica comes first. Replicas with other settings are about to be replaced."""
    alike = [each for each in node.reservations if each.version == request.version]
    num_equal = sum(each.settings == request.settings for each in alike)
    return num_equal, len(node.reservations), -node.free_bytes, node.name


def is_meant(node: ConnectedNode, placement: str) -> bool:
    """Return whether a replica with this placement may run on the node."""
    label, equals, value = placement.partition("=")
    if equals:
        return node.labels.get(label) == value
    if placement == ALL_NODES:
        return node.labels.get(STARTED_BY) != RAY  # Ray says what may run on its nodes.
    return placement == node.name


def _files_of(request: PlacementRequest, store: Store) -> Sequence[File]:
    files = []
    for name, path in request.files.items():
        digest = store.digest_at(path)
        if digest is None:
            raise BadRequest(f"{request.version} is not in the store, and can't be sent to a node: {path}")
        files.append(File(name, digest, path.stat().st_size))
    return files


def _need_bytes(node: ConnectedNode, request: PlacementRequest) -> int:
    """Return the memory that the replica takes on the node. Raises InsufficientMemory, with the arithmetic."""
    from llmos.engine.sizing.fit import usual_need  # imports numpy

    try:
        need = usual_need(request.files, request.settings.config, node.hardware)
    except InsufficientMemory:
        raise
    except LLMOSError:
        return 0  # The worker says what is wrong with the model.
    if need.total > node.free_bytes:
        raise InsufficientMemory(
            f"it needs {need.total:,} bytes ({need.arithmetic()}), and {node.free_bytes:,} are free."
        )
    return need.total
