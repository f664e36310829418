"""A cluster in one event loop: the head's port, agents on loopback, and workers with fake models."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.core.database import Database
from llmos.core.store.store import Store
from llmos.deployments.cluster.agent import Agent, AgentSettings
from llmos.deployments.cluster.head import ClusterHead, ClusterSettings, make_cluster
from llmos.deployments.cluster.joining import JoinToken, join
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.cluster.placer import ClusterPlacer
from llmos.deployments.opening import follow_nodes, open_leases
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.deployments.ray.leases import Leases
from llmos.deployments.ray.placer import RayPlacer
from llmos.deployments.replicas.pool import Pool
from support import FAKE_WORKER_COMMAND
from support.fake_ray import FakeRay

ON_NODES = ReplicaSettings(placement="nodes")


@dataclass
class TestNode:
    """An agent in this process."""

    __test__ = False

    name: str
    folder: Path
    store: Store
    agent: Agent
    said: list[str]
    running: "asyncio.Task[None]"

    async def end(self) -> None:
        """End the agent as a signal does."""
        self.running.cancel()
        await asyncio.wait([self.running])


@dataclass
class TestCluster:
    __test__ = False

    folder: Path
    store: Store
    nodes: Nodes
    head: ClusterHead
    pool: Pool
    leases: Leases | None = None
    agents: dict[str, TestNode] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        follow = self.head.on_change

        def on_change() -> None:
            follow()
            self._changed.set()

        self.head.on_change = on_change

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.head.port

    def token(self) -> JoinToken:
        made = self.nodes.make_token()
        return JoinToken(made.id, made.secret, authority_of(self.folder).fingerprint)

    async def join(self, name: str, **changes: Any) -> TestNode:
        """Let a node join, and return when it is connected."""
        folder = self.folder / f"home-{name}" / "node"
        await join(folder, self.address, self.token(), name)
        return await self.start(name, **changes)

    async def start(self, name: str, **changes: Any) -> TestNode:
        """Start the agent of a node that has joined, and return when it is connected."""
        from llmos.deployments.cluster.joining import read_membership

        folder = self.folder / f"home-{name}" / "node"
        membership = read_membership(folder)
        assert membership is not None, "it has joined"
        store, said = Store(folder.parent / "store"), []
        settings: dict[str, Any] = {
            "folder": folder,
            "membership": membership,
            "store": store,
            "listen": "127.0.0.1",
            "command": FAKE_WORKER_COMMAND,
            "backoff_seconds": lambda _: 0.01,
            "say": said.append,
        }
        agent = Agent(AgentSettings(**settings | changes))
        node = self.agents[name] = TestNode(name, folder, store, agent, said, asyncio.create_task(agent.run()))
        await self.until(lambda: name in self.head.nodes or node.running.done())
        return node

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so, after any change of the head's nodes."""
        while not is_so():
            self._changed.clear()
            waiting = [asyncio.create_task(self._changed.wait()), *(each.running for each in self.agents.values())]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting[0].cancel()
            await asyncio.sleep(0)

    def model(self, **behaviour: Any) -> dict[str, Path]:
        """Return the files of a fake model in the head's store; fake_worker.py lists its options."""
        content = json.dumps(behaviour).encode()
        path = self.store.blob_path(f"sha256:{hashlib.sha256(content).hexdigest()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"model": path}

    async def scaled(self, files: dict[str, Path], count: int, settings: ReplicaSettings = ON_NODES) -> None:
        """Scale m@1 to so many replicas, and return when all are loaded."""
        self.pool.scale("m@1", files, count, settings)
        slots = self.pool.replica_sets["m@1"].slots
        await asyncio.gather(*(slot.load() for slot in slots))

    def places(self) -> list[str | None]:
        """Return the nodes of the replicas that are ready."""
        return sorted(
            slot.replica.node or "" for slot in self.pool.replica_sets["m@1"].slots if slot.replica is not None
        )


def authority_of(folder: Path) -> Any:
    from llmos.deployments.cluster.authority import open_authority

    return open_authority(folder / "cluster")


@asynccontextmanager
async def running_cluster(
    folder: Path, database: Database, ray: "FakeRay | None" = None, **options: Any
) -> AsyncIterator[TestCluster]:
    """Run the head of a new cluster on loopback, with a pool. `options`: of the pool."""
    cluster_folder, store = folder / "cluster", Store(folder / "store")
    make_cluster(cluster_folder, ClusterSettings(listen="127.0.0.1", address="127.0.0.1", port=1))
    nodes = Nodes(database)
    head = ClusterHead(cluster_folder, nodes, store)
    leases = None if ray is None else open_leases(ray, nodes, cluster_folder, linger_seconds=ray.linger_seconds)
    placer = RayPlacer(ClusterPlacer(head, store, LocalPlacer(FAKE_WORKER_COMMAND)), head, leases, wait_seconds=0.3)
    pool = Pool(placer=placer, backoff_seconds=lambda _: 0, **options)
    follow_nodes(head, pool, leases)
    cluster = TestCluster(folder, store, nodes, head, pool, leases)
    await head.start(port=0)
    try:
        yield cluster
    finally:
        await pool.close(drain=False)
        if leases is not None:
            await leases.close()
        for agent in cluster.agents.values():
            await agent.end()
        await head.close()
