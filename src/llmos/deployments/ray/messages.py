"""The messages between a server and its driver, the process that speaks to Ray.

RequestLease -> LeasePlaced; then Invite -> LeaseGranted or LeaseRefused; at any time after it LeaseLost
ReleaseLease    no reply
AskNodes     -> RayNodes
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

LeaseId: TypeAlias = str


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a machine joins the cluster of LLMOS with."""

    host: str
    port: int
    token: str


# To the driver.


class RequestLease(msgspec.Struct, frozen=True, kw_only=True, tag="request_lease"):
    """Ask Ray for a part of a node. It waits until there is one, which is a demand to Ray's autoscaler."""

    lease: LeaseId
    num_cpus: int
    memory_bytes: int
    address: str | None = None
    """The only node that will do, by its IP address."""


class Invite(msgspec.Struct, frozen=True, tag="invite"):
    lease: LeaseId
    invitation: Invitation


class ReleaseLease(msgspec.Struct, frozen=True, tag="release_lease"):
    lease: LeaseId


class AskNodes(msgspec.Struct, frozen=True, tag="ask_nodes"):
    pass


# To the server.


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """Ray was reached. Leases of an earlier driver are gone."""


class NotConnected(msgspec.Struct, frozen=True, tag="not_connected"):
    """Ray can't be reached. The driver ends."""

    reason: str


class LeasePlaced(msgspec.Struct, frozen=True, kw_only=True, tag="lease_placed"):
    """Ray has chosen a node."""

    lease: LeaseId
    address: str
    """The IP address of the Ray node."""
    node: str
    """The name of the machine as a node of LLMOS."""
    is_running: bool
    """True if its agent runs already."""


class LeaseGranted(msgspec.Struct, frozen=True, tag="lease_granted"):
    """The agent of the node was started, or ran already."""

    lease: LeaseId


class LeaseRefused(msgspec.Struct, frozen=True, tag="lease_refused"):
    """The agent can't be started on the node."""

    lease: LeaseId
    reason: str


class LeaseLost(msgspec.Struct, frozen=True, tag="lease_lost"):
    """Ray has taken the lease back, or lost its node."""

    lease: LeaseId
    reason: str


class RayNode(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    num_cpus: float
    memory_bytes: int


class RayNodes(msgspec.Struct, frozen=True, tag="ray_nodes"):
    """The nodes that are alive."""

    nodes: Sequence[RayNode]


ToDriver: TypeAlias = RequestLease | Invite | ReleaseLease | AskNodes
ToServer: TypeAlias = Connected | NotConnected | LeasePlaced | LeaseGranted | LeaseRefused | LeaseLost | RayNodes
