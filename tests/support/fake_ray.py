"""FakeRay: what a driver says of a Ray cluster whose nodes a test names."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from llmos.deployments.ray.messages import (
    AskNodes,
    Connected,
    Invite,
    LeaseGranted,
    LeaseLost,
    LeasePlaced,
    LeaseRefused,
    RayNode,
    RayNodes,
    ReleaseLease,
    RequestLease,
    ToDriver,
    ToServer,
)


@dataclass
class FakeRay:
    linger_seconds: float = 60.0
    nodes: dict[str, int] = field(default_factory=dict)
    """The names of nodes whose agents run, and their CPUs."""
    refusal: str = ""
    """Why no node can start its agent."""
    is_there: bool = True
    is_connected: bool = False
    problem: str | None = "Ray doesn't answer yet."
    on_message: Callable[[ToServer], None] = lambda message: None
    requests: list[RequestLease] = field(default_factory=list)
    """All that were ever sent."""
    held: dict[str, tuple[RequestLease, str]] = field(default_factory=dict)
    """The leases that are placed: what was asked for, and the node."""
    num_stops: int = 0
    _waiting: dict[str, RequestLease] = field(default_factory=dict)

    def start(self) -> None:
        if self.is_there and not self.is_connected:
            asyncio.get_running_loop().call_soon(self._connect)

    async def stop(self) -> None:
        self.is_connected = False
        self.num_stops += 1
        self.held.clear()
        self._waiting.clear()

    def send(self, message: ToDriver) -> None:
        if not self.is_connected:
            return
        match message:
            case RequestLease():
                self.requests.append(message)
                self._waiting[message.lease] = message
                self._place()
            case Invite(lease):
                self._say(LeaseRefused(lease, self.refusal) if self.refusal else LeaseGranted(lease))
            case ReleaseLease(lease):
                self._waiting.pop(lease, None)
                self.held.pop(lease, None)
                self._place()
            case AskNodes():
                self._say(RayNodes([RayNode(address=n, num_cpus=c, memory_bytes=10**9) for n, c in self.nodes.items()]))

    def add(self, node: str, num_cpus: int = 1) -> None:
        self.nodes[node] = num_cpus
        self._place()

    def lose(self, problem: str) -> None:
        """End the connection to Ray, and with it all leases."""
        self.is_connected, self.is_there, self.problem = False, False, problem
        self.held.clear()
        self._waiting.clear()

    def come_back(self) -> None:
        self.is_there = True
        self.start()

    def end_leases(self) -> None:
        """End the actors of all leases."""
        ended = [*self.held]
        self.held.clear()
        for lease in ended:
            self._say(LeaseLost(lease, "The actor died."))

    def _place(self) -> None:
        for request in [*self._waiting.values()]:
            for node, num_cpus in self.nodes.items():
                used = sum(each.num_cpus for each, on in self.held.values() if on == node)
                if used + request.num_cpus <= num_cpus and request.address in (None, node):
                    self.held[request.lease] = self._waiting.pop(request.lease), node
                    self._say(LeasePlaced(lease=request.lease, address=node, node=node, is_running=True))
                    break

    def _connect(self) -> None:
        if not self.is_connected:
            self.is_connected, self.problem = True, None
            self.on_message(Connected())

    def _say(self, message: ToServer) -> None:
        asyncio.get_running_loop().call_soon(lambda: self.on_message(message))
