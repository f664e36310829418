"""Leases: the parts of Ray's nodes that this server holds or waits for. Knows no replicas.

            LeasePlaced, Invite           LeaseGranted
requested ─────────────────────▶ invited ─────────────▶ granted
    ▲                               │ LeaseRefused         │
    │                               ▼                      │
    │                            refused                   │
    └──── LeaseLost, or a new driver: asked for again ─────┘

A lease that nobody uses for a while is released, and so is one that was refused.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmos.deployments.ray.messages import (
    AskNodes,
    Connected,
    Invitation,
    Invite,
    LeaseGranted,
    LeaseLost,
    LeasePlaced,
    LeaseRefused,
    NotConnected,
    RayNode,
    RayNodes,
    ReleaseLease,
    RequestLease,
    ToDriver,
    ToServer,
)

LINGER_SECONDS = 10.0
"""A lease is kept so long for the next replica: one that died starts again at the same place."""

AGAIN_SECONDS = 1.0
"""Pause before a lost lease is asked for again."""

NODES_SECONDS = 2.0
"""Time for the driver to list Ray's nodes."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True, kw_only=True)
class Lease:
    id: str
    purpose: Hashable
    """The replicas that it is for. One whose replica has ended is given to another of the same purpose."""
    num_cpus: int
    memory_bytes: int
    address: str | None = None
    """The IP address of its Ray node, once it is placed."""
    node: str | None = None
    """The name of its node, once it is placed."""
    is_granted: bool = False
    refusal: str | None = None
    is_used: bool = False
    is_occupied: bool = False
    """True while a replica runs there: then no other node will do."""
    was_awaited: bool = False
    """True once somebody has waited for it in vain."""
    settled: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done once it is granted or refused."""
    expiry: asyncio.TimerHandle | None = None


class Driver(Protocol):
    """The process that speaks to Ray; see DriverProcess."""

    is_connected: bool
    problem: str | None
    on_message: Callable[[ToServer], None]

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def send(self, message: ToDriver) -> None: ...


class Leases:
    """Belongs to the event loop's thread."""

    def __init__(
        self,
        driver: Driver,
        invite: Callable[[str, bool], Invitation],
        *,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        """`invite`: returns what a node joins with, by its name and whether its agent runs already; for a thread."""
        self._driver, self._invite, self._linger_seconds = driver, invite, linger_seconds
        self.on_change: Callable[[], None] = lambda: None
        """Called when a lease was granted, or Ray was reached again."""
        self.on_unused: Callable[[str], None] = lambda node: None
        """Called with the name of a node whose last lease was released."""
        self._leases: dict[str, Lease] = {}
        self._nodes: asyncio.Future[Sequence[RayNode]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Task[None] | None = None
        driver.on_message = self._take

    @property
    def problem(self) -> str | None:
        """Why Ray isn't reached, in a sentence."""
        return self._driver.problem

    @property
    def all(self) -> Sequence[Lease]:
        return [*self._leases.values()]

    def take(self, purpose: Hashable, num_cpus: int, memory_bytes: int) -> Lease:
        """Return a lease for use: one that nobody uses, a granted one first, else a new one."""
        free = [each for each in self._leases.values() if each.purpose == purpose and not each.is_used]
        if free:
            lease = max(free, key=lambda each: each.is_granted)
        else:
            lease = Lease(id=secrets.token_hex(8), purpose=purpose, num_cpus=num_cpus, memory_bytes=memory_bytes)
            self._leases[lease.id] = lease
            self._driver.start()
            self._request(lease)
        if lease.expiry is not None and lease.refusal is None:
            lease.expiry.cancel()
            lease.expiry = None
        lease.is_used = True
        return lease

    def put_back(self, lease: Lease) -> None:
        """Give the lease to who waits for one like it; else keep it for a while, then release it."""
        lease.is_used = lease.is_occupied = False
        waiting = [each for each in self.all if each.purpose == lease.purpose and each.is_used]
        waiting = [each for each in waiting if not each.settled.done()]
        if lease.is_granted and waiting:
            self._exchange(lease, waiting[0])
            self.release(lease)
            return
        if lease.expiry is None:
            loop = asyncio.get_running_loop()
            lease.expiry = loop.call_later(self._linger_seconds, self.release, lease)

    def _exchange(self, granted: Lease, requested: Lease) -> None:
        """Let two leases change their places: the requested one is granted, and the other becomes the request."""
        granted.id, requested.id = requested.id, granted.id
        self._leases |= {granted.id: granted, requested.id: requested}
        requested.address, requested.node, requested.is_granted = granted.address, granted.node, True
        granted.address, granted.node, granted.is_granted = None, None, False
        _settle(requested)

    def release(self, lease: Lease) -> None:
        """Give the lease back to Ray. The driver ends with the last one."""
        if self._leases.pop(lease.id, None) is None:
            return
        if lease.expiry is not None:
            lease.expiry.cancel()
        self._driver.send(ReleaseLease(lease.id))
        if lease.node is not None and all(each.node != lease.node for each in self._leases.values()):
            self.on_unused(lease.node)
        if not self._leases:
            self._start(self._stop_driver())

    async def nodes(self) -> Sequence[RayNode]:
        """Return Ray's nodes that are alive; none if Ray isn't reached."""
        if not self._driver.is_connected:
            return []
        if self._nodes is None:
            self._nodes = asyncio.get_running_loop().create_future()
            self._driver.send(AskNodes())
        try:
            async with asyncio.timeout(NODES_SECONDS):
                return await asyncio.shield(self._nodes)
        except TimeoutError:
            self._nodes = None
            return []

    async def close(self) -> None:
        """Release all leases."""
        for lease in self._leases.values():
            if lease.expiry is not None:
                lease.expiry.cancel()
        self._leases.clear()
        if self._nodes is not None:
            self._nodes.cancel()
        for task in self._tasks:
            task.cancel()
        await self._driver.stop()

    def _take(self, message: ToServer) -> None:
        match message:
            case Connected():
                for each in self.all:
                    self._request_again(each)
                self.on_change()
            case NotConnected():
                self._nodes = None
            case RayNodes():
                if self._nodes is not None and not self._nodes.done():
                    self._nodes.set_result(message.nodes)
                self._nodes = None
            case LeasePlaced() | LeaseGranted() | LeaseRefused() | LeaseLost():
                if lease := self._leases.get(message.lease):
                    self._take_news(lease, message)

    def _take_news(self, lease: Lease, message: LeasePlaced | LeaseGranted | LeaseRefused | LeaseLost) -> None:
        match message:
            case LeasePlaced():
                lease.address, lease.node = message.address, message.node
                self._start(self._answer(lease, message))
            case LeaseGranted():
                lease.is_granted = True
                _settle(lease)
                self.on_change()
            case LeaseRefused():
                _log.warning("The node %s can't be used: %s", lease.node, message.reason)
                lease.refusal = message.reason
                _settle(lease)
                self.put_back(lease)
            case LeaseLost():
                _log.warning("Ray has ended a lease on the node %s: %s", lease.node, message.reason)
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._request_again, lease)

    async def _answer(self, lease: Lease, placed: LeasePlaced) -> None:
        try:
            invitation = await asyncio.to_thread(self._invite, placed.node, placed.is_running)
        except Exception as error:  # Such as a database that is gone for a moment.
            _log.exception("The node %s can't be invited", placed.node)
            self._take_news(lease, LeaseRefused(lease.id, str(error)))
            self._driver.send(ReleaseLease(lease.id))
        else:
            self._driver.send(Invite(lease.id, invitation))

    def _request_again(self, lease: Lease) -> None:
        """Ask for a lease that was lost. One that is used must be where its replica runs; others are given up."""
        if self._leases.get(lease.id) is not lease or lease.refusal is not None:
            return
        if not lease.is_used:
            self.release(lease)
            return
        if not lease.is_occupied:
            lease.address = lease.node = None
            if lease.settled.done():
                lease.settled = asyncio.get_running_loop().create_future()
        lease.is_granted = False
        self._request(lease)

    def _request(self, lease: Lease) -> None:
        self._driver.send(
            RequestLease(
                lease=lease.id, num_cpus=lease.num_cpus, memory_bytes=lease.memory_bytes, address=lease.address
            )
        )

    async def _stop_driver(self) -> None:
        if not self._leases:
            await self._driver.stop()
        if self._leases:  # Asked for while it ended.
            self._driver.start()

    def _start(self, doing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _settle(lease: Lease) -> None:
    if not lease.settled.done():
        lease.settled.set_result(None)
