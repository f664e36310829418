"""ClusterHead: the port of a server for nodes. Lets them join, keeps those that are connected, and sends files.

Whoever has no certificate may ask for the authority's and join with a token, and nothing else.
"""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, Conflict, LLMOSError, NotFound, PermissionDenied, StoreFailed
from llmos.core.store.store import Store
from llmos.deployments.cluster.authority import (
    Authority,
    check_node_name,
    has_authority,
    key_digest_of_certificate,
    key_digest_of_request,
    make_authority,
    open_authority,
    server_context,
)
from llmos.deployments.cluster.blobs import send_blob
from llmos.deployments.cluster.connected_node import ConnectedNode
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.cluster.messages import (
    AskAuthority,
    Attach,
    Attached,
    FetchBlob,
    Join,
    Joined,
    Register,
    Registered,
    Renew,
    Renewed,
    ToHead,
    Versions,
    differences,
    refused,
)
from llmos.deployments.cluster.messages import Authority as AuthorityMessage
from llmos.deployments.cluster.nodes import Candidate, Nodes
from llmos.deployments.cluster.renewal import CHECK_SECONDS, renew_head

DEFAULT_PORT = 8001

HANDSHAKE_SECONDS = 10.0
"""Time for TLS, and again for the first message."""

MAX_CLOCK_SECONDS = 300.0
"""Clocks that differ by more are refused: certificates, tokens and histories would contradict each other."""

MAX_UNKNOWN = 64
"""Connections that haven't said yet what they are. More are closed at once."""

WATCH_SECONDS = 1.0
"""Interval at which changes in the members are noticed that another process made."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The settings of a cluster, in LLMOS_HOME/cluster/cluster.json."""

    listen: str
    """The address that the head listens on."""
    address: str
    """The name or address that nodes connect to."""
    port: int = DEFAULT_PORT


def make_cluster(folder: Path, settings: ClusterSettings) -> Authority:
    """Make this installation the head of a cluster. Raises Conflict if it is one."""
    if has_authority(folder):
        raise Conflict("This installation has a cluster already. To add a node: llmos cluster token")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {"listen": settings.listen, "address": settings.address, "port": settings.port}
        (folder / "cluster.json").write_text(json.dumps(document, indent=2) + "\n")
        return make_authority(folder)
    except OSError as error:
        raise StoreFailed(f"The cluster can't be written into {folder}: {error.strerror}.") from None


def read_cluster(folder: Path) -> ClusterSettings:
    """Raises BadRequest where there is no cluster, or for a file that was damaged."""
    open_authority(folder)
    try:
        found = json.loads((folder / "cluster.json").read_text())
        return ClusterSettings(listen=found["listen"], address=found["address"], port=int(found["port"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRequest(
            f"{folder / 'cluster.json'} can't be read ({error}). It holds listen, address and port of the head."
        ) from None


class ClusterHead:
    """Belongs to the event loop's thread."""

    def __init__(self, folder: Path, nodes: Nodes, store: Store, *, clock: Clock = utc_now) -> None:
        """`folder`: of the authority; nothing happens where it has none."""
        self._folder, self._members, self._store, self._clock = folder, nodes, store, clock
        self.nodes: dict[str, ConnectedNode] = {}
        """The nodes that are connected, by name."""
        self.problem: str | None = None
        """Why nodes can't connect to this server, in a sentence."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when a node was connected, lost, or is leaving."""
        self.versions: Versions | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaited: dict[str, list[asyncio.Future[ConnectedNode]]] = {}
        self._num_unknown = 0
        self._database_state: int | None = None

    @property
    def exists(self) -> bool:
        return has_authority(self._folder)

    @property
    def port(self) -> int:
        assert self._server is not None, "started"
        return int(self._server.sockets[0].getsockname()[1])

    async def run(self) -> None:
        """Serve until cancelled, which leaves the connections to close(). Where there is no cluster, wait for one."""
        while not self.exists:
            await asyncio.sleep(WATCH_SECONDS)
        try:
            await self.start()
        except LLMOSError as error:
            self.problem = error.message
            _log.warning("Nodes can't connect: %s", error.message)
            return
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.check_members()
            except Exception:  # Such as a database that is gone for a moment.
                _log.exception("The nodes of the cluster can't be read. Trying again in a moment")

    async def start(self, port: int | None = None) -> None:
        """Listen. Raises BadRequest and Conflict for an address that can't be listened on."""
        from llmos.deployments.cluster.versions import own_versions

        settings = await asyncio.to_thread(read_cluster, self._folder)
        self.versions = await asyncio.to_thread(own_versions)
        await asyncio.to_thread(renew_head, self._folder, clock=self._clock)
        listener = listen(settings.listen, settings.port if port is None else port)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Link[ToHead](ToHead, self._on_connected),
            sock=listener,
            ssl=(context := server_context(self._folder, "head", requires_certificate=False)),
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        self._tasks.add(task := asyncio.create_task(self._renew_own(context)))
        task.add_done_callback(self._tasks.discard)

    async def wait_for_node(self, name: str) -> ConnectedNode:
        """Return the node as soon as it is connected."""
        if (node := self.nodes.get(name)) is not None and node.is_connected:
            return node
        future: asyncio.Future[ConnectedNode] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(name, []).append(future)
        return await future

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for node in [*self.nodes.values()]:
            node.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def check_members(self) -> None:
        """Let nodes go that are no members any more: without workers at once, others when their last has ended."""
        state = self._members.database.state()
        if state is None or state != self._database_state:
            members = {each.name for each in await asyncio.to_thread(self._members.list)}
            self._database_state = state
            for name, node in self.nodes.items():
                if name not in members and not node.is_leaving:
                    node.is_leaving = True
                    self.on_change()
        for node in [node for node in self.nodes.values() if node.is_leaving and not node.workers]:
            node.leave()

    async def _renew_own(self, context: ssl.SSLContext) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                if await asyncio.to_thread(renew_head, self._folder, clock=self._clock):
                    context.load_cert_chain(self._folder / "head.pem", self._folder / "head.key")
            except (LLMOSError, OSError):
                _log.exception("The head's certificate can't be renewed. Trying again in an hour")

    def _on_connected(self, link: Link[ToHead]) -> None:
        if self._num_unknown >= MAX_UNKNOWN:
            link.abort()
            return
        self._num_unknown += 1
        task = asyncio.create_task(self._serve(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: Link[ToHead]) -> None:
        try:
            message = await self._first_message(link)
            match message:
                case Register():
                    await self._register(link, message)
                case FetchBlob():
                    await self._check(link)
                    await send_blob(link, self._store, message)
                case Renew():
                    name = await self._check(link)
                    link.send(Renewed(await asyncio.to_thread(self._renew, link, name, message.request)))
                    link.close()
                case Attach():
                    self._attach(link, message)
                case _:
                    link.close("an agent must register first")
        except (LinkClosed, TimeoutError):
            link.abort()
        except LLMOSError as error:
            link.send(refused(error))
            link.close()

    async def _first_message(self, link: Link[ToHead]) -> ToHead:
        """Return the first message that needs a certificate; answer those of joining, which come before."""
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                while True:
                    match message := await link.receive():
                        case AskAuthority():
                            link.send(AuthorityMessage(open_authority(self._folder).pem))
                        case Join():
                            link.send(Joined(await asyncio.to_thread(self._admit, link.peer, message)))
                        case _ if link.node is None:
                            raise PermissionDenied("This needs a node's certificate. Join first: llmos node --join")
                        case _:
                            return message
        finally:
            self._num_unknown -= 1

    def _admit(self, address: str, join: Join) -> str:
        self._check_equal(join.versions, join.time)
        name = check_node_name(join.name)
        candidate = Candidate(name=name, key_digest=key_digest_of_request(join.request), address=address)
        self._members.admit(join.token_id, join.secret, candidate)
        return open_authority(self._folder).sign_node(join.request, name, clock=self._clock)

    def _renew(self, link: Link[ToHead], name: str, request: str) -> str:
        """Return another certificate for the key of the node's own. Raises PermissionDenied for another key."""
        certificate = link.peer_certificate
        assert certificate is not None, "checked before"
        if key_digest_of_request(request) != key_digest_of_certificate(certificate):
            raise PermissionDenied("A certificate is renewed for the key that it has. To change it, join again.")
        return open_authority(self._folder).sign_node(request, name, clock=self._clock)

    async def _check(self, link: Link[ToHead]) -> str:
        """Return the name of the node at the other end. Raises PermissionDenied if it is no member."""
        name, certificate = link.node, link.peer_certificate
        assert name is not None, "checked before"
        assert certificate is not None, "checked before"
        await asyncio.to_thread(self._members.check, name, key_digest_of_certificate(certificate))
        return name

    async def _register(self, link: Link[ToHead], message: Register) -> None:
        name = await self._check(link)
        self._check_equal(message.versions, message.time)
        if (before := self.nodes.get(name)) is not None:
            before.close()  # Its connection was lost, and we haven't noticed yet.
            await before.wait_closed()
        node = self.nodes[name] = ConnectedNode(name, link, message, self._clock())
        link.send(Registered())
        for future in self._awaited.pop(name, ()):
            if not future.done():
                future.set_result(node)
        self.on_change()
        try:
            await node.run()
        finally:
            if self.nodes.get(name) is node:
                del self.nodes[name]
            self.on_change()

    def _attach(self, link: Link[ToHead], message: Attach) -> None:
        node = self.nodes.get(link.node or "")
        if node is None:
            raise NotFound("The node is not registered.")
        link.send(Attached())
        if not node.attach(message.worker, link):
            raise NotFound("Nobody waits for this worker any more.")

    def _check_equal(self, theirs: Versions, time: float) -> None:
        assert self.versions is not None, "started"
        if different := differences(self.versions, theirs):
            raise Conflict(
                f"The versions differ: {', '.join(different)}. A replica must compute the same on every node: install"
                " the same versions on both."
            )
        now = self._clock().timestamp()
        if abs(now - time) > MAX_CLOCK_SECONDS:
            raise Conflict(
                f"The node's clock is {abs(now - time):,.0f} seconds {'ahead' if time > now else 'behind'}; at most"
                f" {MAX_CLOCK_SECONDS:.0f} are allowed. Set it, for example by NTP, and try again."
            )


def listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise BadRequest(f"{host}:{port} is not an address of this machine ({error}). See cluster.json.") from None
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Conflict(f"Can't listen for nodes on {host}:{port}: {error.strerror}.") from None
    return listener


def connected(head: ClusterHead) -> Sequence[ConnectedNode]:
    """Return the nodes that may get replicas, by name."""
    return [node for _, node in sorted(head.nodes.items()) if node.is_connected and not node.is_leaving]
