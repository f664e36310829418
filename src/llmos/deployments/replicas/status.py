"""How a Version that runs is told to others: each of its replicas, and all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from llmos.engine.messages import EngineStats, Ready

State = Literal["loading", "ready", "stuck", "failed", "stopped"]
"""stuck: it has not got on for half of the time after which it is killed and started again."""

_BEST_FIRST: Sequence[State] = ("ready", "loading", "stuck", "failed", "stopped")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaStatus:
    state: State
    since: datetime
    """When it got into this state."""
    pid: int | None
    ready: Ready | None
    """What was loaded, once it is."""
    load: EngineStats | None
    """How busy it is."""
    tokens_in_flight: int
    """Of its open requests: prompts that are not computed, and what may still be written."""
    restarts: int
    error: str | None
    """Why it failed, or why it is loaded once more."""
    percent_loaded: float | None
    """None where it isn't being loaded, or where nothing is known of how far it is."""
    seconds_left: float | None
    """Until it is loaded, by what is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionStatus:
    """All replicas of a Version. What one word must say of several is said of the best of them."""

    version: str
    state: State
    since: datetime
    pid: int | None
    ready: Ready | None
    load: EngineStats | None
    """Of all of them together."""
    restarts: int
    error: str | None
    num_ready: int
    num_wanted: int
    num_leaving: int
    """Those that let their last answers end. They are in none of the other numbers."""
    percent_loaded: float | None
    seconds_left: float | None
    """Of the one that is loaded next."""
    replicas: tuple[ReplicaStatus, ...]


def of_version(
    version: str,
    replicas: Sequence[ReplicaStatus],
    *,
    num_wanted: int,
    num_leaving: int,
    restarts: int,
    stopped_since: datetime,
) -> VersionStatus:
    best = min(replicas, key=lambda replica: _BEST_FIRST.index(replica.state), default=None)
    loading = [replica for replica in replicas if replica.state == "loading"]
    next_one = min(loading, key=lambda replica: -(replica.percent_loaded or 0), default=None)
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
        percent_loaded=next_one.percent_loaded if next_one else None,
        seconds_left=next_one.seconds_left if next_one else None,
        replicas=tuple(replicas),
    )


def _sum(loads: Sequence[EngineStats]) -> EngineStats | None:
    if not loads:
        return None
    return EngineStats(
        **{name: sum(getattr(load, name) for load in loads) for name in msgspec.structs.asdict(loads[0])}
    )
