"""Deployments: the settings that a Version was deployed with, the state of its replicas, and its events."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class ReplicaLoad(Description, frozen=True, kw_only=True):
    """The load of a replica."""

    num_running: int = 0
    num_waiting: int = 0
    num_free_blocks: int = 0
    num_cached_blocks: int = 0
    """Free blocks that still hold the keys and values of a prefix."""
    num_state_snapshots: int = 0
    """Stored states of a recurrent model, for later prompts with the same beginning."""
    num_preemptions: int = 0
    num_steps: int = 0


class ReplicaReady(Description, frozen=True, kw_only=True):
    """The report of a replica when its model was loaded: memory, kernels, threads, context window."""

    type: str = "ready"
    family: str = ""
    context_length: int = 0
    vocab_size: int = 0
    has_template: bool = False
    num_blocks: int = 0
    weight_bytes: int = 0
    kv_bytes: int = 0
    load_seconds: float = 0.0
    isa: str = ""
    threads: int = 0
    shares_weights: bool = False
    """All replicas of the model map the same file of weights."""


class ReplicaDescription(Description, frozen=True, kw_only=True):
    state: str = ""
    """`loading`, `ready`, `stuck`, `pending`, `failed` or `stopped`."""
    since: datetime | None = None
    pid: int | None = None
    node: str | None = None
    """The node that it runs on; null for the server's machine."""
    tokens_in_flight: int = 0
    """The prompt tokens not yet computed and the tokens that may still be generated, summed over its open requests."""
    restarts: int = 0
    error: str | None = None
    percent_loaded: float | None = None
    seconds_left: float | None = None
    load: ReplicaLoad | None = None
    ready: ReplicaReady | None = None


class DeploymentSpec(Description, frozen=True, kw_only=True):
    """The settings that a Version was deployed with."""

    version: str = ""
    min_replicas: int = 0
    max_replicas: int = 0
    runner: str = ""
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    """Engine options that differ from the server's."""
    placement: str | None = None
    """The machines that its replicas run on: null for the server's machine, `nodes` for any node, the name of a node,
    LABEL=VALUE, or the nodes that its layers are split over: `split`, or a:0-9,b:10-19."""
    idle_seconds: int | None = None
    """The seconds without a request after which it is unloaded; null: never."""
    keep_warm: bool = False
    """It is never unloaded."""
    forced: bool = False
    """It was deployed although its card fails a limit."""
    asleep: bool = False
    """It is unloaded until the next request."""
    created_at: datetime | None = None
    updated_at: datetime | None = None


class DeploymentDescription(Description, frozen=True, kw_only=True):
    """A Version that is deployed, or that the server runs."""

    version: str = ""
    state: str = ""
    """`loading`, `ready`, `stuck`, `pending`, `failed`, `stopped` or `asleep`."""
    reason: str | None = None
    """The reason that it can't answer at once; null if it can."""
    replicas_ready: int = 0
    replicas_wanted: int = 0
    replicas: list[ReplicaDescription] = msgspec.field(default_factory=list)
    percent_loaded: float | None = None
    """The progress of the replica that finishes loading next; null if none is loading."""
    seconds_left: float | None = None
    """The time until that replica is loaded; null if unknown."""
    wanted: DeploymentSpec | None = None
    """The settings that it was deployed with; null if it was loaded on demand."""
    pid: int | None = None
    restarts: int = 0
    since: datetime | None = None
    """The time at which it entered this state."""
    error: str | None = None
    """The reason that it failed or is being restarted."""
    load: ReplicaLoad | None = None
    """The sum of the loads of its replicas."""
    ready: ReplicaReady | None = None


class DeploymentEventDescription(Description, frozen=True, kw_only=True):
    """One thing that happened to a Deployment."""

    at: datetime | None = None
    kind: str = ""
    """`deployed`, `changed`, `slept`, `woken`, `scaled`, `ready`, `pending`, `died`, `failed` or `removed`."""
    actor: str | None = None
    """The key, user or part of the server that caused it; null in events from before this was recorded."""
    reason: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
