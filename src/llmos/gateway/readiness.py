"""Whether the server can answer at once: are the models that it was started for loaded?"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from llmos.deployments.pool import ReplicaStatus


@dataclass(slots=True)
class Readiness:
    wanted: list[str] = field(default_factory=list)
    """The Versions that the server was started for, by reference."""
    is_draining: bool = False
    """The server has been told to end: what runs may finish, nothing new begins."""

    def states(self, replicas: Iterable[ReplicaStatus]) -> dict[str, str]:
        """The state of each wanted Version: loading, ready, failed or stopped."""
        state_of = {replica.version: replica.state for replica in replicas}
        return {version: state_of.get(version, "loading") for version in self.wanted}
