"""The options of the connection that the blocking and the asynchronous httpx client share."""

import ssl
from contextlib import suppress
from typing import Any

import httpx

from llmos import __version__
from llmos.client.authentication import OwnerKeyAuth
from llmos.client.endpoint import Endpoint
from llmos.client.flows import ClientOptions
from llmos.client.retry import RetryPolicy
from llmos.core.errors import BadRequest

CONNECT_SECONDS = 5.0
"""A running server accepts a connection at once, even while it loads a model."""
READ_SECONDS = 600.0
"""A long answer that isn't streamed takes minutes on a small machine before its first byte."""
MAX_CONNECTIONS = 1000


def client_options(server: Endpoint, timeout_seconds: float, max_retries: int) -> ClientOptions:
    return ClientOptions(
        endpoint=server.url, read_timeout_seconds=timeout_seconds, retry=RetryPolicy(max_retries=max_retries)
    )


def http_options(server: Endpoint, timeout_seconds: float, connect_timeout_seconds: float) -> dict[str, Any]:
    headers = {"User-Agent": f"llmos-python/{__version__}"}
    options: dict[str, Any] = {}
    if server.is_owner_key:
        options["auth"] = OwnerKeyAuth(server)
    elif server.api_key:
        headers["Authorization"] = f"Bearer {server.api_key}"
    # Loading the system's certificates takes 30 ms or more. Plain HTTP doesn't need them.
    is_plain = server.url.startswith("http:")
    options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else trusted_certificates(server)
    return options | {
        "base_url": server.url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout_seconds, connect=connect_timeout_seconds),
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20),
        # HTTP_PROXY would send the owner's key, which is for this machine only, to the proxy.
        "trust_env": not server.is_loopback,
    }


def trusted_certificates(server: Endpoint) -> ssl.SSLContext:
    """Return the TLS settings for an https server. Raises BadRequest for a file of certificates that can't be used."""
    if server.ca is not None:
        try:
            return ssl.create_default_context(cafile=server.ca)
        except OSError as error:  # ssl.SSLError is one.
            reason = error.strerror if not isinstance(error, ssl.SSLError) else "it has no certificate in PEM form"
            raise BadRequest(f"The certificates {server.ca} can't be used: {reason}.", param="ca") from None
    context = httpx.create_ssl_context(trust_env=not server.is_loopback)
    if server.own_certificate is not None:
        with suppress(OSError):  # There is none, or it isn't this user's.
            context.load_verify_locations(server.own_certificate)
    return context
