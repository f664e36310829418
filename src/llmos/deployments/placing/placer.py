"""Placer: starts the worker process of a replica somewhere, and returns what speaks to it. Knows no requests.

    place()     a process runs, and is connected
    connect()   its frames go to a protocol of asyncio
    kill()      it ends
    wait()      it has ended; how

Replica (replicas/replica.py) works with any of them, and doesn't know which it has.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llmos.engine.config import EngineConfig
from llmos.engine.messages import LoadModel

MAX_LAST_WORDS = 2000
"""Characters of a process's last output that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    """The settings of each replica of a version. Replicas with other settings are replaced."""

    config: EngineConfig = field(default_factory=EngineConfig)
    placement: str | None = None
    """The machines to run on: None for this machine, `nodes` for any node, the name of a node, or LABEL=VALUE."""
    max_replicas: int = field(default=1, compare=False)
    """The most replicas that the version may have at once. Replicas on the same node share its cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRequest:
    """A replica that is to be started."""

    files: Mapping[str, Path]
    """The model's files on this machine."""
    settings: ReplicaSettings = field(default_factory=ReplicaSettings)
    version: str = ""
    """The reference of the version."""
    on_fetching: Callable[[int, int], None] = field(default=lambda num_done, num_total: None)
    """Called while the files are sent to a node: bytes that have arrived, and all that are to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExit:
    """The end of the process of a replica."""

    status: int | None
    """Its exit status, negative if a signal killed it; None if its node can't be asked."""
    node: str | None = None
    """The name of its node; None for this machine."""
    memory_limit_bytes: int = 0
    """The limit of the container or cgroup for which the kernel killed it; 0 if that isn't why it ended."""
    last_words: str = ""
    """The end of its output, where that doesn't go to the server's log."""

    def __str__(self) -> str:
        """Return the end of a sentence about the process, as in "was killed by signal 9"."""
        if self.status is None:
            return f"is out of reach: the connection to the node {self.node} has ended"
        how = f"was killed by signal {-self.status}" if self.status < 0 else f"exited with status {self.status}"
        if self.memory_limit_bytes:
            how = f"was killed by the kernel: the memory limit of {self.memory_limit_bytes:,} bytes was reached"
        where = f" on the node {self.node}" if self.node else ""
        last_line = self.last_words.strip().rpartition("\n")[2]
        return f"{how}{where} (its last output: {last_line[:200]})" if last_line else f"{how}{where}"


class WorkerProcess(Protocol):
    """A process that runs an engine (engine/replica/worker.py)."""

    pid: int
    node: str | None
    """The name of its node; None for this machine."""
    command: LoadModel
    """The first command that it expects: the model's files as it can open them."""

    @property
    def warning(self) -> str | None:
        """A sentence about a fault of its place, although it runs."""

    async def connect(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Give what the process sends to a protocol, which gets a transport for what is sent to it. Called once."""

    def has_computed(self) -> bool:
        """Return True if any of its threads has computed since the last call, or waits only for a core."""

    def kill(self) -> None:
        """End the process now. It may have ended already."""

    async def wait(self) -> WorkerExit:
        """Return how it ended. Its connection has ended before; a process that goes on is killed after a while."""


class Placer(Protocol):
    async def place(self, request: PlacementRequest) -> WorkerProcess:
        """Start a process. Raises LLMOSError if none can be started."""
