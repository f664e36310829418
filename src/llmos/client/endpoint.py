"""The address of the server and the key to send to it."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx

from llmos.core.config import Settings, load_settings
from llmos.core.errors import BadRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    url: str
    api_key: str | None
    is_owner_key: bool
    """True if nobody chose the key: it is the owner's, found on this machine. It goes to no other program."""
    is_loopback: bool
    ca: Path | None = None
    """The file of the certificates to trust instead of the system's."""
    own_certificate: Path | None = None
    """The self-signed certificate of this LLMOS_HOME, trusted besides the system's."""


def resolve_endpoint(endpoint: str | None = None, api_key: str | None = None, ca: str | Path | None = None) -> Endpoint:
    """Return the server's address (argument, LLMOS_ENDPOINT, this machine), the key to send to it, and the certificates
    to trust (argument, LLMOS_CA, the system's and this home's own).

    The key is the argument, LLMOS_API_KEY or, for a server on this machine and for no other, the owner's.
    Raises BadRequest for an address that isn't an http URL.
    """
    settings = load_settings()
    url = _parse_url(endpoint or settings.endpoint)
    is_loopback = _is_loopback(url.host)
    key = api_key or settings.api_key
    is_owner_key = key is None and is_loopback
    if is_owner_key:
        key = _owner_key(settings)
    return Endpoint(
        url=str(url).rstrip("/"),
        api_key=key,
        is_owner_key=is_owner_key and key is not None,
        is_loopback=is_loopback,
        ca=settings.ca if ca is None else Path(ca),
        own_certificate=settings.self_signed_certificate_path,
    )


def _parse_url(endpoint: str) -> httpx.URL:
    advice = f"The endpoint {endpoint!r} is not a server's address. Write it as http://127.0.0.1:8000."
    try:
        url = httpx.URL(endpoint)
    except httpx.InvalidURL:
        raise BadRequest(advice, param="endpoint") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise BadRequest(advice, param="endpoint")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _owner_key(settings: Settings) -> str | None:
    if settings.owner_key:
        return settings.owner_key
    try:
        return settings.owner_key_path.read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        # No server was ever started here, or the file belongs to another user: the server asks for the key then.
        return None
