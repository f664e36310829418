"""RayPlacer: starts replicas with the placement `ray` on nodes that Ray has chosen, all others as ClusterPlacer does.

A replica has a lease of its own, with the CPUs and the memory that it takes. While Ray has no place for it, it is
pending, and its lease is a demand that Ray's autoscaler sees.
"""

import asyncio
from collections.abc import Hashable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from llmos.core.errors import InsufficientMemory, LLMOSError, NoNode, Unavailable
from llmos.core.hardware import inspect_hardware
from llmos.deployments.cluster.connected_node import ConnectedNode, Reservation
from llmos.deployments.cluster.head import ClusterHead, read_cluster
from llmos.deployments.cluster.messages import RAY
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.cluster.overview import create_token
from llmos.deployments.cluster.placer import ClusterPlacer
from llmos.deployments.placing.placer import PlacementRequest, WorkerProcess
from llmos.deployments.ray.holder import has_joined_for_lease
from llmos.deployments.ray.leases import Lease, Leases
from llmos.deployments.ray.messages import Invitation
from llmos.engine.config import EngineConfig

DEFAULT_CPUS = 1
"""CPUs, and threads, of a replica whose deployment doesn't say `threads`."""

WAIT_SECONDS = 5.0
"""Time for a lease and its node before the replica is called pending. An actor takes one to three seconds to start."""


class RayPlacer:
    def __init__(
        self, cluster: ClusterPlacer, head: ClusterHead, leases: Leases | None, *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """`leases`: None if this server has no Ray."""
        self._cluster, self._head, self._leases, self._wait_seconds = cluster, head, leases, wait_seconds

    async def place(self, request: PlacementRequest) -> WorkerProcess:
        if request.settings.placement != RAY:
            return await self._cluster.place(request)
        if (leases := self._leases) is None:
            raise NoNode("This server has no Ray. Start it with LLMOS_RAY_ADDRESS=HOST:6379; see docs/cluster.md.")
        if not self._head.exists:
            raise NoNode("This installation has no cluster that Ray's nodes could join. Run: llmos cluster init")
        files = await self._cluster.files_of(request)
        config = await asyncio.to_thread(_config_for, request)
        lease = leases.take(_purpose(request), config["threads"], config.pop("memory_bytes"))
        try:
            node = await self._connected(leases, lease, request)
            reservation = Reservation(
                request.version,
                request.settings,
                on_release=partial(self._on_end, lease),
                warning=lambda: leases.problem,
            )
            node.reservations.append(reservation)
        except BaseException:
            leases.put_back(lease)
            raise
        lease.is_occupied = True
        try:
            return await self._cluster.start_on(node, request, files, reservation, config)
        except (InsufficientMemory, Unavailable) as error:
            node.release(reservation)
            raise NoNode(f"Ray has chosen the node {node.name} for {request.version}. {error.message}") from None
        except BaseException:
            node.release(reservation)
            raise

    def _on_end(self, lease: Lease) -> None:
        assert self._leases is not None, "it has given the lease"
        node = self._head.nodes.get(lease.node or "")
        if node is None or not node.is_connected:
            self._leases.release(lease)  # Ray notices much later that the node is gone.
        else:
            self._leases.put_back(lease)

    async def _connected(self, leases: Leases, lease: Lease, request: PlacementRequest) -> ConnectedNode:
        """Return the lease's node as soon as Ray has granted it and the agent is connected. Raises NoNode."""
        # Whoever comes again does so because the lease was granted, or to see why it isn't.
        await asyncio.wait([lease.settled], timeout=0 if lease.was_awaited else self._wait_seconds)
        lease.was_awaited = True
        if not lease.settled.done():
            reason = await _reason(leases, lease, request)
            if not lease.settled.done():
                raise NoNode(reason)
        if lease.refusal is not None:
            raise NoNode(f"The node {lease.node} of Ray can't be used: {lease.refusal}")
        assert lease.node is not None, "it is granted"
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await self._head.wait_for_node(lease.node)
        except TimeoutError:
            leases.release(lease)
            raise NoNode(f"Ray has chosen the node {lease.node}, but its agent doesn't connect.") from None


def invitation_for(nodes: Nodes, cluster: Path, name: str, is_running: bool) -> Invitation:
    """Return what a node of Ray joins with. One that doesn't run, and has this name of ours, joins anew."""
    if not is_running and has_joined_for_lease(name):
        forget_node(nodes, name)
    settings, token = read_cluster(cluster), create_token(nodes, cluster, 15)
    return Invitation(host=settings.address, port=settings.port, token=token.token)


def forget_node(nodes: Nodes, name: str) -> None:
    """End the membership of a node that has joined for a lease, if it is one."""
    if has_joined_for_lease(name) and any(each.name == name for each in nodes.list()):
        nodes.remove(name)


async def _reason(leases: Leases, lease: Lease, request: PlacementRequest) -> str:
    """Return why a replica has no place, in sentences."""
    need = f"{lease.num_cpus} CPU and {lease.memory_bytes:,} bytes"
    wants = f"{request.version} waits for a node of Ray with {need}."
    if leases.problem is not None:
        return f"{wants} {leases.problem}"
    nodes = [
        f"{each.address} has {each.num_cpus:g} CPU and {each.memory_bytes:,} bytes, of which replicas hold"
        f" {sum(other.num_cpus for other in leases.all if other.address == each.address)} and"
        f" {sum(other.memory_bytes for other in leases.all if other.address == each.address):,}"
        for each in await leases.nodes()
    ]
    return f"{wants} {'; '.join(nodes)}." if nodes else f"{wants} It has none that is alive."


def _purpose(request: PlacementRequest) -> Hashable:
    return request.version, repr(request.settings)


def _config_for(request: PlacementRequest) -> dict[str, Any]:
    """Return the options of the replica's EngineConfig, and `memory_bytes`, all that it takes.

    The node isn't known yet: what an option leaves open is decided as on this machine, and then said to the node.
    """
    from llmos.engine.sizing.fit import usual_need  # imports numpy

    settings = request.settings
    config: dict[str, Any] = asdict(settings.config) | {"threads": settings.config.threads or DEFAULT_CPUS}
    try:
        need = usual_need(request.files, EngineConfig(**config), inspect_hardware())
    except InsufficientMemory:
        raise
    except LLMOSError:
        return config | {"memory_bytes": 0}  # The worker says what is wrong with the model.
    return config | {"kv_bytes": config["kv_bytes"] or need.kv or None, "memory_bytes": need.total}
