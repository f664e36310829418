"""Addresses that a service of others may have, and the lookup of a name that checks them.

resolve("example.com", 443) ──▶ addresses, all of them public  ──▶  connect to one of these, and to no other
"""

import ipaddress
import socket
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(map(ipaddress.ip_address, ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")))
"""The metadata services of clouds, which give a machine's credentials to any program on it."""


class AddressRefused(Exception):
    """A host has no address that may be connected to."""


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int, *, allow_private: bool) -> Sequence[str]:
    """Return the addresses of a host. Raises AddressRefused for one with any address that isn't allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AddressRefused(f"The name {host} can't be resolved: {error}.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    for address in addresses:
        if (reason := refusal(ipaddress.ip_address(address), allow_private=allow_private)) is not None:
            raise AddressRefused(f"{host} has the address {address}, {reason}.")
    return addresses


def refusal(address: Address, *, allow_private: bool) -> str | None:
    """Return why an address isn't connected to; None for one that is. `allow_private`: networks of one's own, too."""
    address = _inner(address)
    if address in _METADATA or address.is_link_local:
        return "which is link-local or one of a cloud's metadata"
    if address.is_multicast or address.is_unspecified:
        return "which isn't that of one machine"
    if address.is_global or (allow_private and (address.is_private or address.is_loopback)):
        return None
    return "which is private: if the service is your own, set allow_private"


def _inner(address: Address) -> Address:
    """Return the IPv4 address that is inside an IPv6 address, if there is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = None if address.teredo is None else address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or teredo or address
