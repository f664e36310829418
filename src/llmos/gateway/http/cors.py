"""CORS: which web pages may call this server from a browser. See https://fetch.spec.whatwg.org/#http-cors-protocol.

A page sends no cookie here: it needs an API key like every other client. Pages of this machine may always call; the
setting LLMOS_ALLOW_ORIGIN adds others.
"""

import re
from collections.abc import Collection

from starlette.datastructures import Headers

_LOCAL = re.compile(r"https?://(localhost|[\w-]+(\.[\w-]+)*\.localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")

_MAX_AGE_SECONDS = 600

Header = tuple[bytes, bytes]


class Cors:
    """The origins that may call. `origins`: those besides this machine's; `*` for all."""

    def __init__(self, origins: Collection[str] = ()) -> None:
        self._allows_all = "*" in origins
        self._origins = frozenset(origins)

    def allows(self, origin: str) -> bool:
        """Return whether pages of this origin may call."""
        return self._allows_all or origin.lower() in self._origins or _LOCAL.fullmatch(origin.lower()) is not None

    def headers(self, headers: Headers) -> list[Header]:
        """Return what the response to a request with these headers says about its origin; nothing without one."""
        origin = headers.get("origin")
        if origin is None:
            return []
        if not self.allows(origin):
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", b"*"),
            (b"vary", b"Origin"),
        ]

    def preflight_headers(self, headers: Headers, methods: Collection[str]) -> list[Header]:
        """Return the further headers of the answer to a preflight request. `methods`: those of its path."""
        allowed = [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-max-age", b"%d" % _MAX_AGE_SECONDS),
        ]
        # Headers other than the API key change no right: each one that the page asks for is allowed.
        if asked := headers.get("access-control-request-headers"):
            allowed.append((b"access-control-allow-headers", asked.encode("latin-1")))
        if headers.get("access-control-request-private-network") == "true":
            allowed.append((b"access-control-allow-private-network", b"true"))
        return allowed


def is_preflight(method: str, headers: Headers) -> bool:
    """Return whether a browser asks if it may send a request, before it sends it. It can't send a key with this."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
