"""Requests that this process sends to its own application, so that a line of a batch takes the path of any request."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.types import ASGIApp

from llmos.core.in_process import exchange
from llmos.security.callers import Caller

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Headers
    body: bytes


async def post(app: ASGIApp, path: str, body: bytes, caller: Caller, more_headers: Mapping[str, str] = _NONE) -> Reply:
    """Send a request on behalf of the caller and return the reply. Cancelling this disconnects."""
    headers = [(name.lower().encode(), value.encode()) for name, value in more_headers.items()]
    scope = {
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers],
        "client": None,
        "server": None,
        "state": {"caller": caller},
    }
    reply = await exchange(app, scope, body)
    return Reply(reply.status, Headers(raw=list(reply.headers)), reply.body)
