"""Nodes of this installation's cluster, in its database. Whether they are connected is known to its server only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.deployments.cluster.nodes import Nodes


class LocalNodes:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self) -> Sequence[NodeDescription]:
        from llmos.client import Client
        from llmos.deployments.cluster.overview import describe_member

        if self._control.is_served:
            with Client() as client:
                return client.nodes.list()
        return [describe_member(member, None, "unknown") for member in self._nodes.list()]

    def create_token(self, *, minutes: int = 15) -> NodeTokenDescription:
        from llmos.deployments.cluster.overview import create_token

        return create_token(self._nodes, self._control.settings.cluster_path, minutes)

    def remove(self, name: str) -> None:
        self._nodes.remove(name)

    @property
    def _nodes(self) -> "Nodes":
        from llmos.deployments.cluster.nodes import Nodes

        return Nodes(self._control.registry.database)
