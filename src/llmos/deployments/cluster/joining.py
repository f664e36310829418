"""join: makes this machine a node of a cluster, with a token that was made at its head."""

import asyncio
import json
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from cryptography import x509

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, ConnectionFailed, PermissionDenied, StoreFailed
from llmos.deployments.cluster.authority import (
    HEAD_NAME,
    NODE_SUFFIX,
    check_node_name,
    fingerprint,
    is_issued_by,
    make_request,
    unverified_context,
)
from llmos.deployments.cluster.head import DEFAULT_PORT, HANDSHAKE_SECONDS
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.cluster.messages import AskAuthority, Authority, Join, Joined, Refused, ToNode
from llmos.deployments.cluster.versions import own_versions
from llmos.security.tls_certificates import write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The cluster that this machine is a node of, in LLMOS_HOME/node/node.json."""

    name: str
    host: str
    """The head's."""
    port: int


@dataclass(frozen=True, slots=True)
class JoinToken:
    """ID.SECRET.FINGERPRINT, as `llmos cluster token` prints it."""

    id: str
    secret: str
    fingerprint: str
    """SHA-256 of the authority's certificate: a node knows its head by it."""

    @classmethod
    def parse(cls, text: str) -> "JoinToken":
        parts = text.strip().split(".")
        if len(parts) != 3 or len(parts[2]) != 64:
            raise BadRequest(
                "The token is not complete. It is printed at the head by: llmos cluster token", param="token"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}.{self.fingerprint}"


def parse_head(text: str) -> tuple[str, int]:
    """Return host and port of HOST, HOST:PORT or https://HOST:PORT. Raises BadRequest."""
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host = None
    if not host:
        raise BadRequest(f"{text!r} is not the address of a head: write HOST:{DEFAULT_PORT}.", param="join")
    return host, port


async def join(
    folder: Path, head: tuple[str, int], token: JoinToken, name: str, *, clock: Clock = utc_now
) -> Membership:
    """Get a certificate, and write it into the folder.

    Raises PermissionDenied for a token that isn't valid or of another cluster, Conflict for a name that is taken, for
    other versions and for a clock that differs, ConnectionFailed if the head doesn't answer.
    """
    check_node_name(name)
    request = await asyncio.to_thread(make_request, folder / "node.key", name)
    link = await connect(head, unverified_context())
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            authority = await _authority(link, head, token)
            versions = await asyncio.to_thread(own_versions)
            time = clock().timestamp()
            link.send(
                Join(token_id=token.id, secret=token.secret, name=name, request=request, versions=versions, time=time)
            )
            reply = await link.receive()
    except (LinkClosed, TimeoutError) as error:
        raise ConnectionFailed(f"The head at {head[0]}:{head[1]} didn't answer: {error or 'no reply'}.") from None
    finally:
        link.close()
    if isinstance(reply, Refused):
        raise reply.error()
    if not isinstance(reply, Joined):
        raise ConnectionFailed(f"{head[0]}:{head[1]} is not the head of a cluster.")
    membership = Membership(name=name, host=head[0], port=head[1])
    _write(folder, authority, reply.certificate, membership)
    return membership


def read_membership(folder: Path) -> Membership | None:
    """Return the cluster that this machine is a node of, or None. Raises StoreFailed for a damaged file."""
    try:
        found = json.loads((folder / "node.json").read_text())
        return Membership(name=found["name"], host=found["host"], port=int(found["port"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreFailed(f"{folder / 'node.json'} can't be read ({error}). Join again with a new token.") from None


def forget_membership(folder: Path) -> None:
    """Remove the certificate and the key."""
    shutil.rmtree(folder, ignore_errors=True)


async def connect_to_node(
    name: str, address: tuple[str, int], context: ssl.SSLContext, *, last: type | None = None
) -> Link[ToNode]:
    """Return a connection to the agent of another node. Raises ConnectionFailed, also for another certificate."""
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: Link[ToNode](ToNode, last=last), *address, ssl=context, server_hostname=f"{name}{NODE_SUFFIX}"
            )
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it doesn't answer"
        raise ConnectionFailed(
            f"The node {name} can't be reached at {address[0]}:{address[1]}: {reason}. Nodes that share a model connect"
            " to each other: check the firewall between them."
        ) from None
    return link


async def connect(head: tuple[str, int], context: ssl.SSLContext, *, last: type | None = None) -> Link[ToNode]:
    """Return a connection to the head. `last`: as in Link.

    Raises ConnectionFailed, and PermissionDenied for another head's certificate.
    """
    host, port = head
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: Link[ToNode](ToNode, last=last), host, port, ssl=context, server_hostname=HEAD_NAME
            )
    except ssl.SSLCertVerificationError as error:
        raise PermissionDenied(
            f"{host}:{port} is not the head that this node has joined ({error.verify_message}). Check this machine's"
            " clock, or join again with a new token: llmos cluster token"
        ) from None
    except TimeoutError:
        raise ConnectionFailed(f"The head at {host}:{port} doesn't answer.") from None
    except OSError as error:
        raise ConnectionFailed(
            f"The head at {host}:{port} can't be reached: {error.strerror or error}. Is `llmos serve` running there?"
        ) from None
    return link


async def _authority(link: Link[ToNode], head: tuple[str, int], token: JoinToken) -> str:
    """Return the authority's certificate. Raises PermissionDenied unless the token is of the cluster of this head.

    The secret is sent to nobody else: the other end has proved by TLS that it has the key of its certificate.
    """
    link.send(AskAuthority())
    reply = await link.receive()
    if not isinstance(reply, Authority):
        raise ConnectionFailed(f"{head[0]}:{head[1]} is not the head of a cluster.")
    try:
        authority = x509.load_pem_x509_certificate(reply.certificate.encode())
    except ValueError:
        raise ConnectionFailed(f"{head[0]}:{head[1]} is not the head of a cluster.") from None
    shown = cast(bytes, link.peer_certificate)
    if fingerprint(authority) != token.fingerprint or not is_issued_by(shown, authority, HEAD_NAME):
        raise PermissionDenied(
            f"The token is of another cluster than the one of {head[0]}:{head[1]}. Make one there: llmos cluster token"
        )
    return reply.certificate


def _write(folder: Path, authority: str, certificate: str, membership: Membership) -> None:
    document = {"name": membership.name, "host": membership.host, "port": membership.port}
    try:
        write_private(folder / "authority.pem", authority.encode())
        write_private(folder / "node.pem", certificate.encode())
        write_private(folder / "node.json", json.dumps(document).encode())
    except OSError as error:
        raise StoreFailed(f"The certificate can't be written into {folder}: {error.strerror}.") from None
