"""Readiness: whether the models that the server was started for are loaded and make progress."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from llmos.deployments.replicas.status import ReplicaState, VersionStatus


@dataclass(frozen=True, slots=True)
class ModelReadiness:
    version: str
    state: ReplicaState
    reason: str | None
    """Why it can't answer at once; None if it can."""


@dataclass(slots=True)
class Readiness:
    wanted: list[str] = field(default_factory=list)
    """References of the versions that the server was started for. Other versions are loaded on demand and don't count,
    so a server that was started for none is ready."""
    is_draining: bool = False
    """The server is shutting down: running requests finish, new ones are refused."""

    def models(self, replicas: Iterable[VersionStatus]) -> list[ModelReadiness]:
        """Return the readiness of each wanted version."""
        status_of = {replica.version: replica for replica in replicas}
        return [_readiness(version, status_of.get(version)) for version in self.wanted]


def _readiness(version: str, status: VersionStatus | None) -> ModelReadiness:
    state: ReplicaState = status.state if status else "loading"
    reasons: dict[ReplicaState, str] = {
        "loading": f"{version} is being loaded.",
        "stuck": f"{version} does not respond. If it stays that way, it is restarted.",
        "failed": f"{version} can't be loaded.",
    }
    reason = reasons.get(state)
    if reason and status and status.error:
        reason = f"{reason} {status.error}"
    return ModelReadiness(version, state, reason)
