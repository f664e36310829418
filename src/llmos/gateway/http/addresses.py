"""The address that a request comes from, also behind proxies that the owner trusts."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

Network = IPv4Network | IPv6Network


def client_address(scope: Scope, trusted: Sequence[Network]) -> str | None:
    """Return the peer's IP address; of a trusted proxy, that of the client that it names in X-Forwarded-For.

    Each proxy appends the peer that it saw, so the list is read from its end, as long as the proxies are trusted. What
    stands before that, anybody may have written.
    """
    peer: str | None = scope["client"][0] if scope.get("client") else None
    if peer is None or not trusted or not _is_in(peer, trusted):
        return peer
    forwarded = [each.strip() for line in Headers(scope=scope).getlist("x-forwarded-for") for each in line.split(",")]
    for address in reversed(forwarded):
        if not _is_address(address):
            break
        peer = address
        if not _is_in(address, trusted):
            break
    return peer


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(text: str, networks: Sequence[Network]) -> bool:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks if network.version == address.version)
