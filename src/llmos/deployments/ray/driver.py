"""The driver: asks Ray for leases, and reports what becomes of them. The only module that imports ray.

A lease is an actor with so many CPUs and so much memory. It waits until a node has room, and ends with the driver.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.exceptions import RayError, RayTaskError

from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.ray.holder import LeaseHolder
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
)

NAMESPACE = "llmos"
DEFAULT_PORT = 6379

CONNECT_SECONDS = 5.0
"""Time for a connection to Ray's head."""


class Holder(LeaseHolder):
    """The actor. Its methods are tasks of one event loop."""

    async def where(self) -> tuple[str, str, bool]:
        """Return the Ray node's IP address, the machine's name as a node of LLMOS, and whether its agent runs."""
        name, is_running = self.describe(ray.get_runtime_context().get_node_id())
        return ray.util.get_node_ip_address(), name, is_running

    async def hold(self) -> None:
        """Return never: whoever waits for it gets an error when the actor has ended."""
        await asyncio.Event().wait()


class Driver:
    def __init__(self, link: Link[ToDriver]) -> None:
        self._link = link
        self._leases: dict[str, asyncio.Task[None]] = {}
        self._invitations: dict[str, asyncio.Future[Invitation]] = {}

    async def run(self) -> None:
        """Do what the server says until the connection to it ends."""
        with suppress(LinkClosed):
            while True:
                match message := await self._link.receive():
                    case RequestLease():
                        self._leases[message.lease] = asyncio.create_task(self._hold(message))
                    case Invite():
                        if (waiting := self._invitations.get(message.lease)) and not waiting.done():
                            waiting.set_result(message.invitation)
                    case ReleaseLease():
                        if task := self._leases.get(message.lease):
                            task.cancel()
                    case AskNodes():
                        self._link.send(RayNodes(await asyncio.to_thread(_nodes)))

    async def _hold(self, request: RequestLease) -> None:
        id = request.lease
        invitation = self._invitations[id] = asyncio.get_running_loop().create_future()
        actor = _make_actor(request)
        try:
            address, name, is_running = await actor.where.remote()
            self._link.send(LeasePlaced(lease=id, address=address, node=name, is_running=is_running))
            if problem := await actor.start_agent.remote(name, await invitation):
                self._link.send(LeaseRefused(id, problem))
                return
            self._link.send(LeaseGranted(id))
            await actor.hold.remote()
        except RayTaskError as error:  # What a method of the actor has raised.
            self._link.send(LeaseRefused(id, str(error.cause)))
        except RayError as error:
            self._link.send(LeaseLost(id, _first_line(error)))
        finally:
            self._leases.pop(id, None)
            self._invitations.pop(id, None)
            ray.kill(actor)


def _make_actor(request: RequestLease) -> Any:
    where = {} if request.address is None else {f"node:{request.address}": 0.001}
    return (
        ray.remote(Holder)
        .options(
            num_cpus=request.num_cpus,
            memory=request.memory_bytes,
            resources=where,
            scheduling_strategy="SPREAD",
            max_restarts=0,
        )
        .remote()
    )


def _nodes() -> list[RayNode]:
    return [
        RayNode(
            address=each["NodeManagerAddress"],
            num_cpus=each["Resources"].get("CPU", 0.0),
            memory_bytes=int(each["Resources"].get("memory", 0)),
        )
        for each in ray.nodes()
        if each["Alive"]
    ]


async def serve(connection: socket.socket, address: str) -> None:
    """Serve the other end of the socket. `address`: HOST:PORT of Ray's head."""
    link: Link[ToDriver] = Link(ToDriver)
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=connection)
    try:
        await asyncio.to_thread(_connect, address)
    except Exception as error:  # Ray documents none.
        link.send(NotConnected(f"Ray at {address} can't be reached: {_first_line(error)}"))
        link.close()
        await link.closed
        return
    link.send(Connected())
    await Driver(link).run()


def _connect(address: str) -> None:
    target = urlsplit(f"//{address}")
    # ray.init() tries for minutes.
    with socket.create_connection((target.hostname or "", target.port or DEFAULT_PORT), CONNECT_SECONDS) as probe:
        own_address = probe.getsockname()[0]
    ray.init(
        address=address,
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=True,
        _node_ip_address=own_address,  # Ray would ask a server of the internet.
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:500]
