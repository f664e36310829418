"""TrustedProxies: the client's own address and scheme, where a proxy that the owner trusts passes them on.

    X-Forwarded-For: CLIENT, PROXY, …     X-Forwarded-Proto: https
    Forwarded: for=CLIENT;proto=https, for=PROXY                        (RFC 7239)

Each proxy appends the address that it was called from, so the list is read from its end, and the first address that is
no trusted proxy is the client's: what stands before it, the client may have written itself. Where both headers come and
name different clients, one of them was passed on unread, and neither is believed.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope

from llmos.core.errors import BadRequest

Address = IPv4Address | IPv6Address


class TrustedProxies:
    def __init__(self, networks: Sequence[str] = ()) -> None:
        """`networks`: the proxies' addresses, such as 10.0.0.0/8. Without any, no header is read."""
        self._networks = [ip_network(each) for each in networks]

    def resolve(self, scope: Scope, headers: Headers) -> Scope:
        """Return the scope with the client's address and scheme. Raises BadRequest for headers that contradict."""
        peer = scope.get("client")
        if not self._networks or peer is None or not self._trusts(_parse(peer[0])):
            return scope
        forwarded = _forwarded_elements(",".join(headers.getlist("forwarded")))
        by_list = self._client([each.strip() for each in ",".join(headers.getlist("x-forwarded-for")).split(",")])
        by_standard = self._client([each.get("for", "") for each in forwarded])
        if by_list is not None and by_standard is not None and by_list != by_standard:
            raise BadRequest(
                "X-Forwarded-For and Forwarded name different clients. Let the proxy in front of this server set one of"
                " them and remove the other."
            )
        client = by_list or by_standard
        scheme = headers.get("x-forwarded-proto") or (forwarded[-1].get("proto") if forwarded else None)
        changes: dict[str, object] = {}
        if client is not None:
            changes["client"] = (str(client), 0)
        if scheme in ("http", "https"):
            changes["scheme"] = scheme
        return {**scope, **changes} if changes else scope

    def _client(self, chain: Sequence[str]) -> Address | None:
        """Return the last address that is no trusted proxy; the first if all are; None if none is known."""
        client = None
        for each in reversed(chain):
            address = _parse(each)
            if address is None:
                return client
            client = address
            if not self._trusts(address):
                return client
        return client

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(
            address in network for network in self._networks if network.version == address.version
        )


def _parse(text: str) -> Address | None:
    """Return the IP address in 192.0.2.1, 192.0.2.1:80, 2001:db8::1 or "[2001:db8::1]:80"."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _forwarded_elements(value: str) -> list[dict[str, str]]:
    """Return the elements of a Forwarded header, each as its pairs. No address has a comma or a semicolon in it."""
    elements = []
    for element in value.split(",") if value else ():
        pairs = (pair.partition("=") for pair in element.split(";"))
        elements.append({name.strip().lower(): text.strip().strip('"').lower() for name, _, text in pairs})
    return elements
