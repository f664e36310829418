"""A Node: a machine that runs replicas for a server."""

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
    """`connected`, `away`, `leaving`, or `unknown` where no server was asked."""
    address: str = ""
    joined_at: datetime | None = None
    since: datetime | None = None
    """The time at which it was last connected; null while it is away."""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    cpu: str = ""
    num_cores: int = 0
    memory_bytes: int = 0
    free_bytes: int = 0
    """Memory that a further replica may take."""
    isa: str = ""
    """The kernels that its replicas use."""
    round_trip_ms: float | None = None
    """Milliseconds of a question and its answer, just measured."""
    replicas: list[NodeReplicaDescription] = msgspec.field(default_factory=list)


class NodeTokenDescription(Description, frozen=True, kw_only=True):
    """A token that one node may join with, once."""

    token: str = ""
    """It is shown this once."""
    expires_at: datetime | None = None
    command: str = ""
    """What joins the cluster, to be run on the other machine."""
