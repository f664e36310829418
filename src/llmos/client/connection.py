"""The options of the connection that the blocking and the asynchronous httpx client share."""

import ssl
from typing import Any

import httpx

from llmos import __version__
from llmos.client.authentication import OwnerKeyAuth
from llmos.client.endpoint import Endpoint
from llmos.client.flows import ClientOptions
from llmos.client.retry import RetryPolicy

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
    if server.url.startswith("http:"):
        # Loading the system's certificates takes 30 ms or more. Plain HTTP doesn't need them.
        options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options | {
        "base_url": server.url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout_seconds, connect=connect_timeout_seconds),
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20),
        # HTTP_PROXY would send the owner's key, which is for this machine only, to the proxy.
        "trust_env": not server.is_loopback,
    }
