"""ConnectionLimits: how many connections a server keeps, how large a request's head may be, and how slow a client.

Without them, a client that sends one byte a minute holds a connection for ever, and a few thousand of them hold all.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    max_connections: int = 1000
    """Further ones are answered with 503 and closed, unless an idle one can be closed in their place."""

    max_url_bytes: int = 16 * 1024
    """Longer paths with their query are answered with 414."""

    max_headers: int = 200
    max_head_bytes: int = 128 * 1024
    """The request line and all headers. More of either is answered with 431."""

    head_seconds: float = 20.0
    """The time from the first byte of a request, or from the connection, to the end of its headers; then 408."""

    body_seconds: float = 30.0
    min_body_bytes: int = 8 * 1024
    """A body must bring at least so many bytes in each `body_seconds`, or its end; else 408. A time in which the server
    itself did not read doesn't count."""

    write_seconds: float = 60.0
    """A client that doesn't take what is waiting for it for so long is cut off, and its request is cancelled."""

    handshake_seconds: float = 10.0
    """The time for the TLS handshake."""


DEFAULT_LIMITS = ConnectionLimits()
