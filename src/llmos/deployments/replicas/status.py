"""The status of a version that runs: of each of its replicas, and of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from llmos.engine.messages import EngineStats, Ready

ReplicaState = Literal["loading", "ready", "stuck", "pending", "failed", "stopped"]
"""pending: no node has room for it.
stuck: it has owed an answer for half of the time after which it is killed and restarted."""

_BEST_FIRST: Sequence[ReplicaState] = ("ready", "loading", "stuck", "pending", "failed", "stopped")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaStatus:
    state: ReplicaState
    since: datetime
    """The time at which it entered this state."""
    pid: int | None
    node: str | None
    """The name of the node that it is on; None for this machine."""
    ready: Ready | None
    """The worker's report on the loaded model. None until it is loaded."""
    load: EngineStats | None
    """The engine's counters."""
    tokens_in_flight: int
    """Tokens left in its open requests: prompts not yet computed, and output that may still come."""
    restarts: int
    error: str | None
    """Why it failed, or why it is being restarted; while it is ready, what its placer warns of."""
    percent_loaded: float | None
    """None unless it is loading and its progress is known."""
    seconds_left: float | None
    """Estimated seconds until it is loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionStatus:
    """All replicas of a version. Fields that hold one value describe the replica in the best state."""

    version: str
    state: ReplicaState
    since: datetime
    pid: int | None
    ready: Ready | None
    load: EngineStats | None
    """Summed over all replicas."""
    restarts: int
    error: str | None
    num_ready: int
    num_wanted: int
    num_leaving: int
    """Replicas that finish their last requests before they stop. No other count includes them."""
    percent_loaded: float | None
    seconds_left: float | None
    """Estimated seconds until the next replica is loaded."""
    replicas: tuple[ReplicaStatus, ...]


def summarize(
    version: str,
    replicas: Sequence[ReplicaStatus],
    *,
    num_wanted: int,
    num_leaving: int,
    restarts: int,
    stopped_since: datetime,
) -> VersionStatus:
    """Return the status of a version that has these replicas."""
    best = min(replicas, key=lambda replica: _BEST_FIRST.index(replica.state), default=None)
    loading = [replica for replica in replicas if replica.state == "loading"]
    next_ready = max(loading, key=lambda replica: replica.percent_loaded or 0, default=None)
    return VersionStatus(
        version=version,
        state=best.state if best else "stopped",
        since=best.since if best else stopped_since,
        pid=best.pid if best else None,
        ready=best.ready if best else None,
        load=_sum([replica.load for replica in replicas if replica.load]),
        restarts=restarts,
        error=next((replica.error for replica in replicas if replica.error), None),
        num_ready=sum(replica.state == "ready" for replica in replicas),
        num_wanted=num_wanted,
        num_leaving=num_leaving,
        percent_loaded=next_ready.percent_loaded if next_ready else None,
        seconds_left=next_ready.seconds_left if next_ready else None,
        replicas=tuple(replicas),
    )


def _sum(stats: Sequence[EngineStats]) -> EngineStats | None:
    if not stats:
        return None
    return EngineStats(
        **{name: sum(getattr(each, name) for each in stats) for name in msgspec.structs.asdict(stats[0])}
    )
