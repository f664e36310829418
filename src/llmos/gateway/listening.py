"""listen: the socket that a server accepts connections on, and who may reach it."""

import errno
import resource
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from llmos.core.errors import BadRequest, Conflict

_OTHER_FILES = 512
"""Open files besides connections: models, the database, connections to replicas and providers."""


def check_exposure(host: str, *, has_tls: bool, is_allowed: bool) -> str | None:
    """Return a warning for a server that others can reach without TLS; None for any other.

    Raises BadRequest for such a server unless `is_allowed`, and for no address.
    """
    if has_tls or _is_loopback(host):
        return None
    risk = "Whoever is on the way to it can read the API keys, the prompts and the answers, and use the keys."
    if is_allowed:
        return f"WARNING: the server listens on {host} without TLS. {risk}"
    raise BadRequest(
        f"With --host {host}, other machines reach the server, and it has no TLS. {risk} Use --tls-cert and"
        " --tls-key, or --tls-self-signed. If a proxy with TLS stands in front of it on a network that you trust:"
        " --allow-insecure-network",
        param="host",
    )


def allow_open_files(max_connections: int) -> None:
    """Raise this process's limit of open files, as far as it may, so that so many connections have room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _is_loopback(host: str) -> bool:
    return ip_address(_resolve(host, 0)[3][0].partition("%")[0]).is_loopback


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, tuple[str, int]]:
    """Return family, kind, protocol and address of a socket for `host`. Raises BadRequest for no address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadRequest(f"{host}:{port} is not an address of this machine ({error}). Try --host 127.0.0.1.") from None
    return family, kind, protocol, address  # type: ignore[return-value]


def loopback_address(sockets: Sequence[socket.socket]) -> str | None:
    """Return the URL at which programs of this machine reach one of these sockets without TLS; None for others."""
    for listener in sockets:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            host, port = listener.getsockname()[:2]
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
            if ip_address(host.partition("%")[0]).is_loopback:
                return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address. Raises BadRequest for no address, Conflict for one in use."""
    if not 0 <= port <= 65535:
        raise BadRequest(f"{port} is not a port: --port takes 1 to 65535, or 0 for any free one.", param="port")
    family, kind, protocol, address = _resolve(host, port)
    # asyncio turns Nagle's algorithm off where the socket says that it is TCP. Clients would wait for 40 ms otherwise.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()  # Two sockets may be bound to a port as long as neither listens.
    except OSError as error:
        listener.close()
        is_elsewhere = error.errno == errno.EADDRNOTAVAIL
        advice = "Choose an address of this machine: --host 127.0.0.1" if is_elsewhere else "Choose another: --port"
        raise Conflict(f"Can't serve on {host}:{port}: {error.strerror}. {advice}") from None
    listener.set_inheritable(False)
    return listener
