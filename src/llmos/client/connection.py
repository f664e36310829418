"""How a client is connected: the options that both kinds of httpx client share."""

import ssl
from typing import Any

import httpx

from llmos import __version__
from llmos.client.endpoint import Endpoint
from llmos.client.flows import Conduct
from llmos.client.retry import RetryPolicy

CONNECT_SECONDS = 5.0
"""A server that is there takes the connection at once, even while it loads a model."""
READ_SECONDS = 600.0
"""A long answer on a small machine takes minutes before its first byte, when it is not streamed."""
MAX_CONNECTIONS = 1000


def conduct_of(server: Endpoint, timeout_seconds: float, max_retries: int) -> Conduct:
    return Conduct(
        endpoint=server.url, read_timeout_seconds=timeout_seconds, retry=RetryPolicy(max_retries=max_retries)
    )


def http_options(server: Endpoint, timeout_seconds: float, connect_timeout_seconds: float) -> dict[str, Any]:
    headers = {"User-Agent": f"llmos-python/{__version__}"}
    if server.api_key:
        headers["Authorization"] = f"Bearer {server.api_key}"
    options: dict[str, Any] = {}
    if server.url.startswith("http:"):
        # Reading the system's certificates takes 30 ms or more; where they can't be needed, trust nobody instead.
        options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options | {
        "base_url": server.url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout_seconds, connect=connect_timeout_seconds),
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20),
        # HTTP_PROXY would hand the owner's key, meant for this machine, to the proxy.
        "trust_env": not server.is_loopback,
    }
