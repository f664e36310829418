"""Whether the server can answer at once: are the models that it was started for loaded, and do they get on?"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from llmos.deployments.replicas.status import ReplicaState, VersionStatus


@dataclass(frozen=True, slots=True)
class ModelReadiness:
    version: str
    state: ReplicaState
    reason: str | None
    """Why it can't answer at once. None where it can."""


@dataclass(slots=True)
class Readiness:
    wanted: list[str] = field(default_factory=list)
    """The Versions that the server was started for, by reference. Others are loaded when they are first asked for, and
    don't count here; so a server that was started for none is ready."""
    is_draining: bool = False
    """The server has been told to end: what runs may finish, nothing new begins."""

    def models(self, replicas: Iterable[VersionStatus]) -> list[ModelReadiness]:
        """Return how each wanted Version stands."""
        status_of = {replica.version: replica for replica in replicas}
        return [_readiness(version, status_of.get(version)) for version in self.wanted]


def _readiness(version: str, status: VersionStatus | None) -> ModelReadiness:
    state: ReplicaState = status.state if status else "loading"
    reasons: dict[ReplicaState, str] = {
        "loading": f"{version} is being loaded.",
        "stuck": f"{version} gives no sign of life. If it goes on like this, it is started again.",
        "failed": f"{version} can't be loaded.",
    }
    reason = reasons.get(state)
    if reason and status and status.error:
        reason = f"{reason} {status.error}"
    return ModelReadiness(version, state, reason)
