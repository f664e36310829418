"""The nodes of a cluster as the API describes them: members of the database, joined with what is connected."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from llmos.core.schemas.nodes import NodeDescription, NodeReplicaDescription, NodeTokenDescription
from llmos.deployments.cluster.authority import open_authority
from llmos.deployments.cluster.connected_node import ConnectedNode
from llmos.deployments.cluster.head import ClusterHead, read_cluster
from llmos.deployments.cluster.joining import JoinToken
from llmos.deployments.cluster.nodes import Member, Nodes


async def describe_nodes(nodes: Nodes, head: ClusterHead) -> Sequence[NodeDescription]:
    """Describe every node, with its memory and its link as they are now."""
    members = await asyncio.to_thread(nodes.list)
    await asyncio.gather(*(node.ask_facts() for node in head.nodes.values()))
    described = [describe_member(member, head.nodes.get(member.name)) for member in members]
    names = {member.name for member in members}
    leaving = [node for name, node in sorted(head.nodes.items()) if name not in names]
    return described + [_describe_connected(node, NodeDescription(name=node.name)) for node in leaving]


def describe_member(member: Member, node: ConnectedNode | None, state: str = "away") -> NodeDescription:
    """`state`: of a node that isn't connected."""
    known = NodeDescription(name=member.name, state=state, address=member.address, joined_at=member.joined_at)
    return known if node is None else _describe_connected(node, known)


def create_token(nodes: Nodes, cluster: Path, minutes: int) -> NodeTokenDescription:
    """Make a token for one node. `cluster`: the folder of the authority. Raises Conflict where there is none."""
    authority, settings = open_authority(cluster), read_cluster(cluster)
    made = nodes.make_token(minutes)
    token = JoinToken(made.id, made.secret, authority.fingerprint)
    return NodeTokenDescription(
        token=str(token),
        expires_at=made.expires_at,
        command=f"llmos node --join {settings.address}:{settings.port} --token {token}",
    )


def _describe_connected(node: ConnectedNode, known: NodeDescription) -> NodeDescription:
    hardware = node.hardware
    return NodeDescription(
        name=known.name,
        state="leaving" if node.is_leaving else "connected",
        address=node.address,
        joined_at=known.joined_at,
        since=node.since,
        labels=node.labels,
        cpu=hardware.cpu,
        num_cores=hardware.num_cores,
        memory_bytes=hardware.memory_bytes,
        free_bytes=node.free_bytes,
        isa=next(iter(hardware.isas), ""),
        round_trip_ms=None if node.round_trip_seconds is None else round(1000 * node.round_trip_seconds, 3),
        replicas=[
            NodeReplicaDescription(version=each.reservation.version, pid=each.pid) for each in node.workers.values()
        ],
    )
