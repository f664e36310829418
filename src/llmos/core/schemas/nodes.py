"""Nodes: machines that run replicas for a server."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class NodeReplicaDescription(Description, frozen=True, kw_only=True):
    """A replica on a node."""

    version: str = ""
    pid: int = 0


class NodeDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    state: str = ""
    """`connected`, `away`, `leaving`, or `unknown` without a running server."""
    address: str = ""
    joined_at: datetime | None = None
    since: datetime | None = None
    """The time at which it was last connected; null while it is away."""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    cpu: str = ""
    num_cores: int = 0
    memory_bytes: int = 0
    free_bytes: int = 0
    """The memory that is free for further replicas."""
    isa: str = ""
    """The kernels that its replicas use."""
    round_trip_ms: float | None = None
    """The time of a round trip to the node, in milliseconds, measured for this response."""
    replicas: list[NodeReplicaDescription] = msgspec.field(default_factory=list)


class NodeTokenDescription(Description, frozen=True, kw_only=True):
    """A token with which one node can join the cluster once."""

    token: str = ""
    """The token. It is shown only once."""
    expires_at: datetime | None = None
    command: str = ""
    """The command to run on the other machine, which joins it to the cluster."""
